/**
 * Rules around the rewrite for packets that the kernel's own rewriting would spoil: a transport header that is cut
 * short (the kernel then updates the IPv4 header checksum and not the address; before it checked the length, a write
 * behind the end stopped it with BUG), an IPv6 routing header with segments left (the transport checksum covers another
 * address), and later fragments (Linux 5.10 reads and writes their payload as a transport header). Two or three cheap
 * comparisons in front of each chain send the few packets that could be such to a closer look.
 */
import {
	assign,
	type Expression,
	extensionHeader,
	field,
	goTo,
	jump,
	masked,
	match,
	meta,
	type Operand,
	rawField,
	verdict,
} from "@l3dsr/nftables";
import {
	EXTENSION_HEADER,
	type Family,
	IPV4_FRAGMENT,
	IPV6_FRAGMENT_FIELD,
	PROTOCOL_NUMBER,
} from "@l3dsr/packet";
import { PORTS_PRESENT } from "./port-match.ts";
import type { ChainSpec, RuleSpec } from "./table.ts";

/** Where the protocols whose checksum the kernel updates keep it, in bits from the start of their header. */
const CHECKSUM_BITS = {
	tcp: 128,
	icmpv6: 16,
	udplite: 48,
} as const;
// UDP is not among them: where its checksum field is missing the kernel takes it for one without a checksum.
const CHECKED = ["tcp", "icmpv6", "udplite"] as const;

/** With so many bytes behind an IPv4 header without options, or the IPv6 header, TCP's checksum is there. */
const ENOUGH = CHECKSUM_BITS.tcp / 8 + 2;

export function checkChainName(base: string): string {
	return `${base}_check`;
}

function plainChainName(base: string): string {
	return `${base}_plain`;
}

export function laterChainName(base: string): string {
	return `${base}_later`;
}

/** A fragment without the transport header. False of what is not a fragment. */
export function laterFragment(family: Family): readonly Expression[] {
	const offset =
		family === "ipv4"
			? masked(field("ip frag-off"), IPV4_FRAGMENT.offset)
			: masked(extensionHeader(EXTENSION_HEADER.fragment, 2, 2), IPV6_FRAGMENT_FIELD.offset);
	return match(offset, "!=", 0);
}

/** Which chains there are for packets that the rules of a base chain cannot handle. */
export interface Detours {
	/** Later fragments go to a chain of their own (laterChain), because a rule reads or writes the transport header. */
	readonly later: boolean;
}

/** First in a base chain. */
export function guardRules(family: Family, base: string, { later }: Detours): RuleSpec[] {
	const actions = [jump(checkChainName(base))];
	const guard = (conditions: readonly Expression[]): RuleSpec => ({ conditions, actions, ordinals: [] });
	if (family === "ipv4") {
		return [
			...(later ? [toLater(family, base)] : []),
			guard(match(field("ip hdrlength"), "!=", 5)),
			guard(match(field("ip length"), "<", 20 + ENOUGH)),
		];
	}
	return [
		// TCP and UDP are in this range, and no extension header is.
		guard(match(field("ip6 nexthdr"), "!=", { first: 1, last: 42 })),
		guard(match(field("ip6 length"), "<", ENOUGH)),
	];
}

function toLater(family: Family, base: string): RuleSpec {
	return { conditions: laterFragment(family), actions: [goTo(laterChainName(base))], ordinals: [] };
}

/** Returns for packets that the rules of the base chain can handle. */
export function checkChain(family: Family, base: string, detours: Detours): ChainSpec {
	const rules = family === "ipv4" ? checkIpv4(detours) : checkIpv6(base, detours);
	return { name: checkChainName(base), rules };
}

function checkIpv4({ later }: Detours): RuleSpec[] {
	return [
		...(later ? [] : [{ conditions: laterFragment("ipv4"), actions: [RETURN], ordinals: [] }]),
		checksumUnknown(),
		// The kernel would take protocol 58 for ICMPv6 over IPv4 too, whose checksum covers no address.
		...checksumPresent(["tcp", "udplite"]),
		{ comment: "cut short: left alone", conditions: [], actions: [ACCEPT], ordinals: [] },
	];
}

function checkIpv6(base: string, { later }: Detours): RuleSpec[] {
	const plain = goTo(plainChainName(base));
	return [
		...(later ? [toLater("ipv6", base)] : []),
		{ conditions: match(SEGMENTS_LEFT, "!=", 0), actions: [plain], ordinals: [] },
		checksumUnknown(),
		...checksumPresent(CHECKED),
		{ comment: "no checksum in reach: address only", conditions: [], actions: [plain], ordinals: [] },
	];
}

/** Of the routing header (43): how many stops are still to come. */
const SEGMENTS_LEFT: Operand = extensionHeader(43, 3, 1);
const ACCEPT = verdict("accept");
const RETURN = verdict("return");

/** The kernel changes the checksums of no other protocol (but UDP's). */
function checksumUnknown(): RuleSpec {
	const numbers = CHECKED.map((name) => PROTOCOL_NUMBER[name]).sort((a, b) => a - b);
	const anyOf = numbers.map((one) => ({ first: one, last: one }));
	return { conditions: match(meta("l4proto"), "!=", { anyOf }), actions: [RETURN], ordinals: [] };
}

/** Reading the field fails, and the rule with it, where the field is not in the packet. */
function checksumPresent(protocols: readonly (typeof CHECKED)[number][]): RuleSpec[] {
	return protocols.map((name) => ({
		conditions: [...protocolIs(name), ...match(rawField("transport", CHECKSUM_BITS[name], 16), ">=", 0)],
		actions: [RETURN],
		ordinals: [],
	}));
}

function protocolIs(name: keyof typeof PROTOCOL_NUMBER): readonly Expression[] {
	return match(meta("l4proto"), "==", PROTOCOL_NUMBER[name]);
}

/** The rules of a base chain once more, with writes that leave the transport checksum alone. */
export function addressOnlyChain(base: string, rules: readonly RuleSpec[]): ChainSpec {
	return { name: plainChainName(base), rules: [...rules, END] };
}

/** What the rules of a base chain do to later fragments, for which the kernel leaves the transport checksum alone. */
export function laterChain(base: string, rules: readonly RuleSpec[]): ChainSpec {
	return { name: laterChainName(base), rules: [...rules, END] };
}

/** Nothing returns from a detour to the base chain. */
const END: RuleSpec = { conditions: [], actions: [ACCEPT], ordinals: [] };

export function portChainName(port: number): string {
	return `dport_${port}`;
}

/**
 * Sets the destination port. TCP and UDP only: of other protocols the kernel would leave the checksum wrong. Where a
 * header is cut short before its ports, the rules do not match. They never see later fragments.
 */
export function portChain(port: number): ChainSpec {
	return {
		name: portChainName(port),
		rules: [
			{
				comment: "no checksum: stays so",
				conditions: [...protocolIs("udp"), ...match(rawField("transport", 48, 16), "==", 0)],
				actions: [...assign(rawField("transport", 16, 16), port), RETURN],
				ordinals: [],
			},
			...(["udp", "tcp"] as const).map((name) => ({
				conditions: [...protocolIs(name), ...PORTS_PRESENT],
				actions: assign(field(`${name} dport`), port),
				ordinals: [],
			})),
		],
	};
}
