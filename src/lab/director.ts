/**
 * The lab's director: nftables in its namespace. It keeps no state. Every packet to a VIP gets that VIP's
 * DSCP, and as destination the real server that a hash of its flow selects; nft keeps the checksums right.
 *
 * A later fragment carries no ports, so fragments are hashed by the identification that all fragments of
 * a datagram share: they must not part.
 */
import type { Family } from "../model/address.ts";
import { addressOf, OTHER_DSCP, REAL_SERVERS, VIPS } from "./layout.ts";

/** What differs between the two families' tables. */
const SPELLING = {
	ipv4: {
		table: "ip",
		header: "ip",
		fragment: "ip frag-off & 0x3fff != 0",
		fragmentId: "ip id",
		echo: "icmp type echo-request",
		echoId: "icmp id",
	},
	ipv6: {
		table: "ip6",
		header: "ip6",
		fragment: "exthdr frag exists",
		fragmentId: "frag id",
		echo: "icmpv6 type echo-request",
		echoId: "icmpv6 id",
	},
} as const satisfies Record<Family, Record<string, string>>;

/** Input of `nft -f -` in the director's namespace. */
export function directorRuleset(families: readonly Family[]): string {
	return families.map(directorTable).join("");
}

/**
 * Input of `nft -f -` in the client's namespace: what it sends to a real server's own address carries a
 * DSCP that no rule knows, as VoIP or a backup job on the same network might.
 */
export function clientRuleset(families: readonly Family[]): string {
	const rules = families.flatMap((family) =>
		REAL_SERVERS.map((server) => {
			const { header } = SPELLING[family];
			return `\t\t${header} daddr ${addressOf(server, family).text} ${header} dscp set ${OTHER_DSCP}\n`;
		}),
	);
	return `table inet marking {\n\tchain output {\n\t\ttype filter hook output priority mangle\n${rules.join("")}\t}\n}\n`;
}

function directorTable(family: Family): string {
	const { table, header, fragment, fragmentId, echo, echoId } = SPELLING[family];
	const vips = VIPS.filter(({ vip }) => vip.family === family);
	const servers = REAL_SERVERS.map((server, index) => `${index} : ${addressOf(server, family).text}`).join(
		", ",
	);
	const flow = `${header} saddr . ${header} daddr`;
	const to = (hashed: string) =>
		`${header} daddr set jhash ${flow} . ${hashed} mod ${REAL_SERVERS.length} map { ${servers} } accept`;
	const rules = [
		"type filter hook prerouting priority raw",
		`${header} daddr != { ${vips.map(({ vip }) => vip.text).join(", ")} } accept`,
		...vips.map(({ vip, dscp }) => `${header} daddr ${vip.text} ${header} dscp set ${dscp}`),
		`${fragment} ${to(fragmentId)}`,
		`meta l4proto { tcp, udp } ${to("th sport . th dport")}`,
		`${echo} ${to(echoId)}`,
		"drop",
	];
	return `table ${table} director {\n\tchain prerouting {\n${rules.map((rule) => `\t\t${rule}\n`).join("")}\t}\n}\n`;
}
