import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "@l3dsr/packet";
import { servicesOfReal } from "../../src/model/fleet-services.ts";
import { parseFleet } from "../../src/syntax/fleet/parse-fleet.ts";

const FLEET = parseFleet(
	`
vips:
  - { name: web, addresses: [192.0.2.10, "2001:db8::10"], dscp: 7, services: [{ port: 80, protocol: tcp, pool: front }] }
  - { name: dns, addresses: 192.0.2.11, dscp: 8, services: [{ port: 53, protocol: [tcp, udp], pool: names }] }
  - { name: mail, addresses: 192.0.2.12, dscp: 7, services: [{ port: 25, protocol: tcp, pool: mail }, { port: any, protocol: udp, pool: mail }] }
pools:
  front: { reals: [{ name: a, addresses: [10.0.0.1, "2001:db8:1::1"], state: disabled }, { name: b, addresses: [10.0.0.2, "2001:db8:1::2"] }] }
  names: { reals: [{ name: b, addresses: 10.0.0.2 }] }
  mail: { reals: [{ name: b, addresses: 10.0.0.2 }] }
`,
	"fleet.yaml",
);

/** As `NAME VIP DSCP PROTOCOLS PORTS`. */
function answeredBy(...own: readonly string[]): string[] {
	const addresses = own.flatMap((text) => parseAddress(text) ?? []);
	return servicesOfReal(FLEET, addresses).map(({ name, vip, selection }) => {
		const ports = selection?.ports?.map(({ first }) => first).join() ?? "-";
		return `${name} ${vip.text} ${selection?.dscp} ${selection?.protocols?.join() ?? "-"} ${ports}`;
	});
}

test("a host answers for the VIPs whose pools list one of its addresses, even while disabled", () => {
	assert.deepEqual(answeredBy("10.0.0.1", "198.51.100.1"), ["web 192.0.2.10 7 - -"]);
	assert.deepEqual(answeredBy("2001:db8:1::1"), ["web 2001:db8::10 7 - -"]);
	assert.deepEqual(answeredBy("10.0.0.9"), []);
});

test("only a code that stands for several VIPs of a host is matched with protocol and port", () => {
	assert.deepEqual(answeredBy("10.0.0.2", "2001:db8:1::2"), [
		"web 192.0.2.10 7 6 80",
		"web 2001:db8::10 7 - -",
		"dns 192.0.2.11 8 - -",
		"mail 192.0.2.12 7 6 25",
		"mail 192.0.2.12 7 17 -",
	]);
});
