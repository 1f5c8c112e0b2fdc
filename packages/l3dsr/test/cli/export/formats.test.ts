import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "@l3dsr/packet";
import { FORMAT_NAMES, formatNamed } from "../../../src/cli/export/formats.ts";
import { rulesOf } from "../../../src/inspect/vip-table.ts";
import { parseConfig } from "../../../src/syntax/config/parse-config.ts";
import { assertGolden } from "../../golden.ts";

/** It contains everything that some format cannot hold. */
const CONFIG = `services:
  - {vip: 192.0.2.10, dscp: 7}
  - {vip: 192.0.2.11, name: web, dscp: 28, protocol: tcp, ports: [80, 443]}
  - {vip: 192.0.2.11, name: web-admin, dscp: 29, protocol: tcp, ports: 8443, set-port: 9443}
  - {vip: "2001:db8::10", name: web6, dscp: 9, clear-dscp: true}
  - {vip: 192.0.2.12, name: marked, mark: 0x10/0xf0}
  - {vip: 192.0.2.13, name: media, dscp: 12, protocol: udp, ports: 10000-20000}
  - {vip: 192.0.2.14, name: flat}
  - {vip: 192.0.2.15, name: best-effort, dscp: 0, interface: eth1}
`;

const { configuration } = parseConfig(CONFIG, "golden");
const reals = ["10.0.0.5", "10.0.0.6", "2001:db8:5::5"].flatMap((text) => parseAddress(text) ?? []);

/** The nft script is the nft datapath's, whose tests cover it. */
for (const name of FORMAT_NAMES.filter((one) => one !== "nft")) {
	test(`${name} prints what the format can hold of a table, and names the rest`, () => {
		const { text, left } = formatNamed(name).print({ configuration, rules: rulesOf(configuration), reals });
		assert.ok(text.endsWith("\n"));
		const notes = left.map(({ what, why }) => `left out: ${what}: ${why}\n`).join("");
		assertGolden(`export/${name}.txt`, `${text}----\n${notes}`);
	});
}
