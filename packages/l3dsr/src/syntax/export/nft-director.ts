/**
 * A director of nftables, for a Linux box (and the lab). It keeps no state. Every packet to a VIP gets that VIP's
 * DSCP, and as destination the real server that a hash of its flow selects; nft keeps the checksums right.
 *
 * A later fragment carries no ports, so fragments are hashed by the identification that all fragments of a datagram
 * share: they must stay together. An ICMP error is hashed by the header that it quotes, from which path MTU discovery
 * lives; the seed is fixed, so that both rules (and other directors) choose alike.
 */
import { type Address, type Dscp, type Family, PROTOCOL_NUMBER } from "@l3dsr/packet";
import { type Listener, listenersOf } from "./director.ts";
import type { Printed, VipTable } from "./vip-table.ts";

/**
 * What differs between the two families' tables. `quoted` are places in an ICMP error, in bits from its own header: the
 * packet that it quotes begins at bit 64 and went from the VIP to the client.
 */
const SPELLING = {
	ipv4: {
		table: "ip",
		header: "ip",
		fragment: "ip frag-off & 0x3fff != 0",
		fragmentId: "ip id",
		echo: "icmp type echo-request",
		echoId: "icmp id",
		error: "icmp type { destination-unreachable, time-exceeded, parameter-problem }",
		quoted: {
			// Version 4 without options, and not a later fragment.
			plain: "@th,64,8 0x45 @th,112,16 & 0x1fff == 0",
			protocol: "@th,136,8",
			vip: "@th,160,32",
			client: "@th,192,32",
			sourcePort: "@th,224,16",
			destinationPort: "@th,240,16",
		},
	},
	ipv6: {
		table: "ip6",
		header: "ip6",
		fragment: "exthdr frag exists",
		fragmentId: "frag id",
		echo: "icmpv6 type echo-request",
		echoId: "icmpv6 id",
		error: "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
		quoted: {
			plain: undefined,
			protocol: "@th,112,8",
			vip: "@th,128,128",
			client: "@th,256,128",
			sourcePort: "@th,384,16",
			destinationPort: "@th,400,16",
		},
	},
} as const satisfies Record<Family, Spelling>;

interface Spelling {
	readonly table: string;
	readonly header: string;
	readonly fragment: string;
	readonly fragmentId: string;
	readonly echo: string;
	readonly echoId: string;
	readonly error: string;
	readonly quoted: {
		readonly plain: string | undefined;
		readonly protocol: string;
		readonly vip: string;
		readonly client: string;
		readonly sourcePort: string;
		readonly destinationPort: string;
	};
}

/** Any number will do, as long as every rule and every director has it: without one nft draws one for each rule. */
const SEED = "0x6c336473";

/** Printed in front of the tables: what an operator has to know. */
const NOTES = `# An L3DSR director. Loading this file again replaces the tables.
# ICMP errors go to the real server of the flow that they quote, so path MTU discovery works. nftables cannot find that
# flow, and the error is dropped, if the quoted header has IP options or extension headers, if the quoted packet is not
# TCP or UDP, or if the flow was sent in fragments.
`;

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
	const text = tables.length === 0 ? "" : NOTES + tables.join("");
	const why = "its real servers are not those of the other VIPs: this director hands all VIPs to the same";
	return { text, left: [...left, ...split.map(({ service }) => ({ what: service.name, why }))] };
}

function sameReals({ vip, reals }: Listener, all: readonly Listener[]): boolean {
	const first = all.find((one) => one.vip.family === vip.family);
	return first?.reals.length === reals.length && first.reals.every((real) => reals.includes(real));
}

/** Input of `nft -f -`: the table of one family. All VIPs go to all real servers. */
export function directorTable(family: Family, vips: readonly MarkedVip[], reals: readonly Address[]): string {
	const { table, header, fragment, fragmentId, echo, echoId, error, quoted } = SPELLING[family];
	const servers = reals.map(({ text }, index) => `${index} : ${text}`).join(", ");
	const to = (...hashed: readonly string[]) =>
		`${header} daddr set jhash ${hashed.join(" . ")} mod ${reals.length} seed ${SEED} map { ${servers} } accept`;
	const addresses = [`${header} saddr`, `${header} daddr`];
	const vipTexts = [...new Set(vips.map(({ vip }) => vip.text))];
	const quotedFlow = [quoted.client, quoted.vip, quoted.destinationPort, quoted.sourcePort];
	const isQuoted = [error, quoted.plain, `${quoted.protocol} { 6, 17 }`].filter((one) => one !== undefined);
	const rules = [
		"type filter hook prerouting priority raw",
		`${header} daddr != { ${vipTexts.join(", ")} } accept`,
		...vips.map(({ vip, dscp, protocol, port }) => {
			const only = protocol === undefined ? "" : `${protocol} dport ${port} `;
			return `${header} daddr ${vip.text} ${only}${header} dscp set ${dscp}`;
		}),
		// An error about a service of one port gets that service's code, by the port that the quoted packet came from.
		...vips.flatMap(({ vip, dscp, protocol, port }) => {
			if (protocol === undefined || port === undefined) return [];
			const from = `${quoted.protocol} ${QUOTED_PROTOCOL[protocol]} ${quoted.sourcePort} ${port}`;
			return [`${header} daddr ${vip.text} ${error} ${from} ${header} dscp set ${dscp}`];
		}),
		`${fragment} ${to(...addresses, fragmentId)}`,
		`meta l4proto { tcp, udp } ${to(...addresses, "th sport", "th dport")}`,
		`${isQuoted.join(" ")} ${to(...quotedFlow)}`,
		`${echo} ${to(...addresses, echoId)}`,
		"drop",
	];
	const chain = `\tchain prerouting {\n${rules.map((rule) => `\t\t${rule}\n`).join("")}\t}\n`;
	// The first line makes the table if it is not there, so that the second can delete it: all in one transaction.
	return `table ${table} director\ndelete table ${table} director\ntable ${table} director {\n${chain}}\n`;
}

const QUOTED_PROTOCOL = { tcp: PROTOCOL_NUMBER.tcp, udp: PROTOCOL_NUMBER.udp } as const;
