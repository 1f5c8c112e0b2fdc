/** The lab's director (syntax/export/nft-director.ts), and what its client marks by itself. */
import { assign, type Command, field, match, meta, type PrintableTable } from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";
import { directorTable, tableCommands } from "../syntax/export/nft-director.ts";
import { addressOf, OTHER_DSCP, REAL_SERVERS, VIPS } from "./layout.ts";

/** For nf_tables in the director's namespace. */
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
 * For nf_tables in the client's namespace: what it sends to a real server's own address carries a DSCP that no rule
 * knows, as VoIP or a backup job on the same network might.
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
	const base = { type: "filter", hook: "output", priority: MANGLE_PRIORITY, policy: "accept" } as const;
	const table: PrintableTable = {
		family: "inet",
		name: "marking",
		chains: [{ name: "output", base }],
		rules: rules.map((expressions) => ({ chain: "output", expressions })),
	};
	return tableCommands(table);
}

/** NF_IP_PRI_MANGLE */
const MANGLE_PRIORITY = -150;
