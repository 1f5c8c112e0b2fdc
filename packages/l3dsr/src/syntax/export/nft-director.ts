/**
 * A director of nftables, for a Linux box (and the lab). It keeps no state. Every packet to a VIP gets that VIP's
 * DSCP, and as destination the real server that a hash of its flow selects; nft keeps the checksums right.
 *
 * A later fragment carries no ports, so fragments are hashed by the identification that all fragments of
 * a datagram share: they must not part.
 */
import type { Address, Dscp, Family } from "@l3dsr/packet";
import { type Listener, listenersOf } from "./director.ts";
import type { Printed, VipTable } from "./vip-table.ts";

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

export interface MarkedVip {
	readonly vip: Address;
	readonly dscp: Dscp;
	/** Only packets to this port get the code. */
	readonly protocol?: "tcp" | "udp";
	readonly port?: number;
}

export function printNftDirector(table: VipTable): Printed {
	const { listeners, left } = listenersOf(table, { families: ["ipv4", "ipv6"] });
	const split = listeners.filter((listener) => !sameReals(listener, listeners));
	const families = (["ipv4", "ipv6"] as const).filter((family) =>
		listeners.some(({ vip }) => vip.family === family),
	);
	const tables = families.map((family) => {
		const own = listeners.filter((one) => one.vip.family === family && !split.includes(one));
		const [first] = own;
		return first === undefined ? "" : directorTable(family, own, first.reals);
	});
	const text = tables.join("");
	const why = "its real servers are not those of the other VIPs: this director hands all VIPs to the same";
	return { text, left: [...left, ...split.map(({ service }) => ({ what: service.name, why }))] };
}

function sameReals({ vip, reals }: Listener, all: readonly Listener[]): boolean {
	const first = all.find((one) => one.vip.family === vip.family);
	return first?.reals.length === reals.length && first.reals.every((real) => reals.includes(real));
}

/** Input of `nft -f -`: the table of one family. All VIPs go to all real servers. */
export function directorTable(family: Family, vips: readonly MarkedVip[], reals: readonly Address[]): string {
	const { table, header, fragment, fragmentId, echo, echoId } = SPELLING[family];
	const servers = reals.map(({ text }, index) => `${index} : ${text}`).join(", ");
	const flow = `${header} saddr . ${header} daddr`;
	const to = (hashed: string) =>
		`${header} daddr set jhash ${flow} . ${hashed} mod ${reals.length} map { ${servers} } accept`;
	const addresses = [...new Set(vips.map(({ vip }) => vip.text))];
	const rules = [
		"type filter hook prerouting priority raw",
		`${header} daddr != { ${addresses.join(", ")} } accept`,
		...vips.map(({ vip, dscp, protocol, port }) => {
			const only = protocol === undefined ? "" : `${protocol} dport ${port} `;
			return `${header} daddr ${vip.text} ${only}${header} dscp set ${dscp}`;
		}),
		`${fragment} ${to(fragmentId)}`,
		`meta l4proto { tcp, udp } ${to("th sport . th dport")}`,
		`${echo} ${to(echoId)}`,
		"drop",
	];
	return `table ${table} director {\n\tchain prerouting {\n${rules.map((rule) => `\t\t${rule}\n`).join("")}\t}\n}\n`;
}
