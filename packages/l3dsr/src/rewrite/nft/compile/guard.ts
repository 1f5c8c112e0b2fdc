/**
 * Rules around the rewrite for packets that nft's own rewriting would spoil: a transport header that is cut
 * short (the kernel then updates the IPv4 header checksum and not the address), and an IPv6 routing header
 * with segments left (the transport checksum covers another address). Two cheap comparisons in front of each
 * chain send the few packets that could be such to a closer look.
 */
import { type Family, PROTOCOL_NUMBER } from "@l3dsr/packet";
import {
	ACCEPT,
	anyOf,
	type Comparison,
	type Expression,
	goTo,
	jump,
	mangle,
	masked,
	match,
	meta,
	number,
	payload,
	RETURN,
	range,
	rawPayload,
	type Statement,
} from "./statement.ts";
import type { ChainSpec, RuleSpec } from "./table.ts";

/** Where the protocols whose checksum nft updates keep it, in bits from the start of their header. */
const CHECKSUM_BITS = {
	tcp: 128,
	icmpv6: 16,
	udplite: 48,
} as const;
// UDP is not among them: where its checksum field is missing nft takes it for one without a checksum.
const CHECKED = ["tcp", "icmpv6", "udplite"] as const;

/** With so many bytes behind an IPv4 header without options, or the IPv6 header, TCP's checksum is there. */
const ENOUGH = CHECKSUM_BITS.tcp / 8 + 2;

export function checkChainName(base: string): string {
	return `${base}_check`;
}

function plainChainName(base: string): string {
	return `${base}_plain`;
}

/** First in a base chain. */
export function guardRules(family: Family, base: string): RuleSpec[] {
	const target = jump(checkChainName(base));
	const guard = (left: Expression, op: Comparison, right: Expression): RuleSpec => ({
		conditions: [match(left, op, right)],
		actions: [target],
		ordinals: [],
	});
	if (family === "ipv4") {
		return [
			guard(payload("ip", "hdrlength"), "!=", number(5)),
			guard(payload("ip", "length"), "<", number(20 + ENOUGH)),
		];
	}
	return [
		// TCP and UDP are in this range, and no extension header is.
		guard(payload("ip6", "nexthdr"), "!=", range(1, 42)),
		guard(payload("ip6", "length"), "<", number(ENOUGH)),
	];
}

/** Returns for packets that the rules of the base chain can handle. */
export function checkChain(family: Family, base: string): ChainSpec {
	const rules = family === "ipv4" ? checkIpv4() : checkIpv6(plainChainName(base));
	return { name: checkChainName(base), rules };
}

function checkIpv4(): RuleSpec[] {
	const later = match(masked(payload("ip", "frag-off"), 0x1fff), "!=", number(0));
	return [
		{ conditions: [later], actions: [RETURN], ordinals: [] },
		checksumUnknown(),
		// nft would take protocol 58 for ICMPv6 over IPv4 too, whose checksum covers no address.
		...checksumPresent(["tcp", "udplite"]),
		{ comment: "cut short: left alone", conditions: [], actions: [ACCEPT], ordinals: [] },
	];
}

function checkIpv6(plain: string): RuleSpec[] {
	const segmentsLeft: Expression = {
		text: "rt seg-left",
		listed: { exthdr: { name: "rt", field: "seg-left" } },
	};
	return [
		{ conditions: [match(segmentsLeft, "!=", number(0))], actions: [goTo(plain)], ordinals: [] },
		checksumUnknown(),
		...checksumPresent(CHECKED),
		{ comment: "no checksum in reach: address only", conditions: [], actions: [goTo(plain)], ordinals: [] },
	];
}

/** nft changes the checksums of no other protocol (but UDP's). */
function checksumUnknown(): RuleSpec {
	const numbers = CHECKED.map((name) => PROTOCOL_NUMBER[name]).sort((a, b) => a - b);
	return {
		conditions: [match(meta("l4proto"), "!=", anyOf(numbers.map(number)))],
		actions: [RETURN],
		ordinals: [],
	};
}

/** Reading the field fails, and the rule with it, where the field is not in the packet. */
function checksumPresent(protocols: readonly (typeof CHECKED)[number][]): RuleSpec[] {
	return protocols.map((name) => ({
		conditions: [
			protocolIs(name),
			match(transportField(name, "checksum", CHECKSUM_BITS[name]), ">=", number(0)),
		],
		actions: [RETURN],
		ordinals: [],
	}));
}

/** Listed as part of the name of the transport field behind it. */
function protocolIs(name: keyof typeof PROTOCOL_NUMBER): Statement {
	return { ...match(meta("l4proto"), "==", number(PROTOCOL_NUMBER[name])), listed: [] };
}

/** 16 bits of the transport header by their place; nft lists them by name. */
function transportField(protocol: string, field: string, offset: number): Expression {
	return { text: rawPayload("th", offset, 16).text, listed: payload(protocol, field).listed };
}

/** The rules of a base chain once more, with writes that leave the transport checksum alone. */
export function addressOnlyChain(base: string, rules: readonly RuleSpec[]): ChainSpec {
	const end: RuleSpec = { conditions: [], actions: [ACCEPT], ordinals: [] };
	return { name: plainChainName(base), rules: [...rules, end] };
}

export function portChainName(port: number): string {
	return `dport_${port}`;
}

/**
 * Sets the destination port. TCP and UDP only: of other protocols nft would leave the checksum wrong. Their
 * ports cannot be reached in later fragments and cut headers, where the rules just do not match.
 */
export function portChain(port: number): ChainSpec {
	const udpChecksum = transportField("udp", "checksum", 48);
	const raw = transportField("udp", "dport", 16);
	return {
		name: portChainName(port),
		rules: [
			{
				comment: "no checksum: stays so",
				conditions: [protocolIs("udp"), match(udpChecksum, "==", number(0))],
				actions: [mangle(raw, number(port)), RETURN],
				ordinals: [],
			},
			...(["udp", "tcp"] as const).map((name) => ({
				conditions: [protocolIs(name)],
				actions: [mangle(payload(name, "dport"), number(port))],
				ordinals: [],
			})),
		],
	};
}
