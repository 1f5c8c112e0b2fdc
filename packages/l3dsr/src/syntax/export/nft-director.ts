/**
 * A director in nftables, for a Linux machine (and the lab). It keeps no state. Every packet for a VIP gets the VIP's
 * DSCP, and as destination the real server selected by a hash of its flow; nft updates the checksums.
 *
 * A later fragment has no ports, so fragments are hashed by the identification that all fragments of a datagram
 * share, to keep them together. An ICMP error, which path MTU discovery needs, is hashed by the header that it
 * quotes. The seed is fixed, so that both rules (and other directors) choose the same real server.
 */
import {
	assign,
	assignFromMap,
	type Command,
	dataType,
	type Expression,
	extensionHeader,
	field,
	hasExtensionHeader,
	integerType,
	jhash,
	masked,
	match,
	meta,
	numberBytes,
	type Operand,
	type PrintableTable,
	printTable,
	rawField,
	type Value,
	verdict,
} from "@l3dsr/nftables";
import { type Address, type Dscp, type Family, PROTOCOL_NUMBER } from "@l3dsr/packet";
import { TABLE_PRIORITY } from "../../model/rule.ts";
import { type Listener, listenersOf } from "./director.ts";
import type { Printed, VipTable } from "./vip-table.ts";

const FRAGMENT_HEADER = 44;

/**
 * What differs between the families' packets. `quoted`: places in an ICMP error, in bits from its own header. The
 * quoted packet begins at bit 64, and was sent from the VIP to the client.
 */
interface Packets {
	readonly family: "ip" | "ip6";
	readonly fragment: readonly Expression[];
	readonly fragmentId: Operand;
	readonly echo: readonly Expression[];
	readonly echoId: Operand;
	readonly error: readonly Expression[];
	readonly quoted: {
		readonly plain: readonly Expression[];
		readonly protocol: Operand;
		readonly vip: Operand;
		readonly client: Operand;
		readonly sourcePort: Operand;
		readonly destinationPort: Operand;
	};
}

const isIcmp = match(meta("l4proto"), "==", PROTOCOL_NUMBER.icmp);
const isIcmpv6 = match(meta("l4proto"), "==", PROTOCOL_NUMBER.icmpv6);

const PACKETS: Readonly<Record<Family, Packets>> = {
	ipv4: {
		family: "ip",
		fragment: match(masked(field("ip frag-off"), 0x3fff), "!=", 0),
		fragmentId: field("ip id"),
		echo: [...isIcmp, ...match(field("icmp type"), "==", 8)],
		echoId: field("icmp id"),
		// Destination unreachable, time exceeded, parameter problem.
		error: [...isIcmp, ...match(field("icmp type"), "==", oneOf([3, 11, 12]))],
		quoted: {
			// Version 4 without options, and not a later fragment.
			plain: [
				...match(rawField("transport", 64, 8), "==", 0x45),
				...match(masked(rawField("transport", 112, 16), 0x1fff), "==", 0),
			],
			protocol: rawField("transport", 136, 8),
			vip: rawField("transport", 160, 32),
			client: rawField("transport", 192, 32),
			sourcePort: rawField("transport", 224, 16),
			destinationPort: rawField("transport", 240, 16),
		},
	},
	ipv6: {
		family: "ip6",
		fragment: match(hasExtensionHeader(FRAGMENT_HEADER), "==", 1),
		fragmentId: extensionHeader(FRAGMENT_HEADER, 4, 4),
		echo: [...isIcmpv6, ...match(field("icmpv6 type"), "==", 128)],
		echoId: field("icmpv6 id"),
		// Destination unreachable, packet too big, time exceeded, parameter problem.
		error: [...isIcmpv6, ...match(field("icmpv6 type"), "==", oneOf([1, 2, 3, 4]))],
		quoted: {
			plain: [],
			protocol: rawField("transport", 112, 8),
			vip: rawField("transport", 128, 128),
			client: rawField("transport", 256, 128),
			sourcePort: rawField("transport", 384, 16),
			destinationPort: rawField("transport", 400, 16),
		},
	},
};

function oneOf(numbers: readonly number[]): Value {
	return { anyOf: numbers.map((one) => ({ first: one, last: one })) };
}

/** Any number works if all rules and directors use it; without one, the kernel chooses one for each rule. */
const SEED = 0x6c336473;

/** Printed before the tables: what an operator needs to know. */
const NOTES = `# An L3DSR director. Loading this file again replaces the tables.
# ICMP errors go to the real server of the flow that they quote, so path MTU discovery works. nftables cannot find that
# flow, and the error is dropped, if the quoted header has IP options or extension headers, if the quoted packet is not
# TCP or UDP, or if the flow was sent in fragments.
`;

export interface MarkedVip {
	readonly vip: Address;
	readonly dscp: Dscp;
	/** Only packets for this port get the code. */
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
		return first === undefined ? "" : replacing(directorTable(family, own, first.reals));
	});
	const text = tables.length === 0 ? "" : NOTES + tables.join("");
	const why =
		"its real servers differ from those of the other VIPs: this director sends all VIPs to the same real servers";
	return { text, left: [...left, ...split.map(({ service }) => ({ what: service.name, why }))] };
}

function sameReals({ vip, reals }: Listener, all: readonly Listener[]): boolean {
	const first = all.find((one) => one.vip.family === vip.family);
	return first?.reals.length === reals.length && first.reals.every((real) => reals.includes(real));
}

/** The first line creates the table if it does not exist, so that the second can delete it, all in one transaction. */
function replacing(table: PrintableTable): string {
	const name = `table ${table.family} ${table.name}`;
	return `${name}\ndelete ${name}\n${printTable(table)}`;
}

/** The table of one family. All VIPs go to all real servers. */
export function directorTable(
	family: Family,
	vips: readonly MarkedVip[],
	reals: readonly Address[],
): PrintableTable {
	const { family: ip, fragment, fragmentId, echo, echoId, error, quoted } = PACKETS[family];
	const [saddr, daddr] = [field(`${ip} saddr`), field(`${ip} daddr`)];
	const servers = {
		key: { ...integerType(4), order: "host" },
		data: dataType(family === "ipv4" ? "ipv4_addr" : "ipv6_addr"),
		elements: reals.map(({ bytes }, index) => ({
			key: numberBytes(index, 4, "host"),
			data: Uint8Array.from(bytes),
		})),
	} as const;
	const to = (...hashed: readonly Operand[]): readonly Expression[] => [
		...assignFromMap(daddr, jhash(hashed, reals.length, SEED), servers),
		verdict("accept"),
	];
	const toVip = ({ vip }: MarkedVip): readonly Expression[] => match(daddr, "==", Uint8Array.from(vip.bytes));
	const mark = ({ dscp }: MarkedVip): readonly Expression[] => assign(field(`${ip} dscp`), dscp);
	const addresses = [...new Map(vips.map(({ vip }) => [vip.text, Uint8Array.from(vip.bytes)])).values()];
	const ported = oneOf([PROTOCOL_NUMBER.tcp, PROTOCOL_NUMBER.udp]);
	const quotedFlow = [quoted.client, quoted.vip, quoted.destinationPort, quoted.sourcePort];
	const rules: readonly (readonly Expression[])[] = [
		[...match(daddr, "!=", { oneOf: addresses }), verdict("accept")],
		...vips.map((one) => [...toVip(one), ...onPort(one), ...mark(one)]),
		// An error about a service with one port gets that service's code, by the source port of the quoted packet.
		...vips.flatMap((one) => {
			const { protocol, port } = one;
			if (protocol === undefined || port === undefined) return [];
			const from = [
				...match(quoted.protocol, "==", PROTOCOL_NUMBER[protocol]),
				...match(quoted.sourcePort, "==", port),
			];
			return [[...toVip(one), ...error, ...from, ...mark(one)]];
		}),
		[...fragment, ...to(saddr, daddr, fragmentId)],
		[...match(meta("l4proto"), "==", ported), ...to(saddr, daddr, field("th sport"), field("th dport"))],
		[...error, ...quoted.plain, ...match(quoted.protocol, "==", ported), ...to(...quotedFlow)],
		[...echo, ...to(saddr, daddr, echoId)],
		[verdict("drop")],
	];
	const base = {
		type: "filter",
		hook: "prerouting",
		priority: TABLE_PRIORITY.raw,
		policy: "accept",
	} as const;
	return {
		family: ip,
		name: "director",
		chains: [{ name: "prerouting", base }],
		rules: rules.map((expressions) => ({ chain: "prerouting", expressions })),
	};
}

function onPort({ protocol, port }: MarkedVip): readonly Expression[] {
	if (protocol === undefined) return [];
	return [
		...match(meta("l4proto"), "==", PROTOCOL_NUMBER[protocol]),
		...(port === undefined ? [] : match(field("th dport"), "==", port)),
	];
}

/** The commands that create such a table. */
export function tableCommands({ chains, rules, ...table }: PrintableTable): readonly Command[] {
	return [
		{ do: "add table", table },
		...chains.map((chain): Command => ({ do: "add chain", table, chain })),
		...rules.map(({ chain, ...rule }): Command => ({ do: "add rule", table, chain, rule })),
	];
}
