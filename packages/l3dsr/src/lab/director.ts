/** What the lab's directors run: l3dsr's own datapath or nf_tables; and the packets that its client marks itself. */
import { assign, type Command, field, match, meta, type PrintableTable } from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";
import { TABLE_PRIORITY } from "../model/rule.ts";
import { directorTable, tableCommands } from "../syntax/export/nft-director.ts";
import { addressOf, DIRECTOR_DEVICE, FAMILIES, OTHER_DSCP, REAL_SERVERS, VIPS } from "./layout.ts";

export const BALANCERS = ["balance", "nft"] as const;
/** `balance`: l3dsr's director, as `l3dsr up` starts it. `nft`: the output of `l3dsr export nft-director`. */
export type Balancer = (typeof BALANCERS)[number];

/** Every port of each VIP goes to both real servers. Frames from veth have no checksums, so the program is at tc. */
export const DIRECTOR_FILES: Readonly<Record<"fleet.yaml" | "director.yaml", string>> = {
	"fleet.yaml": [
		"vips:",
		...VIPS.map(
			({ vip, dscp }, n) =>
				`  - { name: vip${n + 1}, addresses: ["${vip.text}"], dscp: ${dscp}, echo: server, services: [{ port: any, protocol: [tcp, udp], pool: ${vip.family} }] }`,
		),
		"pools:",
		...FAMILIES.map((family) => {
			const reals = REAL_SERVERS.map(
				(server) => `{ name: ${server}, addresses: ["${addressOf(server, family).text}"] }`,
			);
			return `  ${family}: { reals: [${reals.join(", ")}] }`;
		}),
		"",
	].join("\n"),
	"director.yaml": `fleet: fleet.yaml\ndirector: { interfaces: [${DIRECTOR_DEVICE}], hook: tc, state: state.json }\n`,
};

/** nf_tables rules for a director's namespace. */
export function directorRuleset(families: readonly Family[]): readonly Command[] {
	return families.flatMap((family) =>
		tableCommands(
			directorTable(
				family,
				VIPS.filter(({ vip }) => vip.family === family),
				REAL_SERVERS.map((server) => addressOf(server, family)),
			),
		),
	);
}

const NFPROTO: Readonly<Record<Family, number>> = { ipv4: 2, ipv6: 10 };

/**
 * nf_tables rules for the client's namespace: packets to a real server's own address carry a DSCP that no rule knows,
 * as from VoIP or a backup job on the same network.
 */
export function clientRuleset(families: readonly Family[]): readonly Command[] {
	const rules = families.flatMap((family) =>
		REAL_SERVERS.map((server) => {
			const ip = family === "ipv4" ? "ip" : "ip6";
			return [
				...match(meta("nfproto"), "==", NFPROTO[family]),
				...match(field(`${ip} daddr`), "==", Uint8Array.from(addressOf(server, family).bytes)),
				...assign(field(`${ip} dscp`), OTHER_DSCP),
			];
		}),
	);
	const base = { type: "filter", hook: "output", priority: TABLE_PRIORITY.mangle, policy: "accept" } as const;
	const table: PrintableTable = {
		family: "inet",
		name: "marking",
		chains: [{ name: "output", base }],
		rules: rules.map((expressions) => ({ chain: "output", expressions })),
	};
	return tableCommands(table);
}
