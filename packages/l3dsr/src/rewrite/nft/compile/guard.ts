/**
 * Rules around the rewrite for packets that the kernel's own rewriting would damage. A truncated transport header:
 * the kernel updates the IPv4 header checksum but not the address; before it checked the length, a write beyond the
 * end hit a BUG. An IPv6 routing header with segments left: the transport checksum covers another address. Later
 * fragments: Linux 5.10 reads and writes their payload as a transport header. Two or three cheap comparisons before
 * each chain send the few suspect packets to a closer check.
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

/** Offset of the checksum of each protocol whose checksum the kernel updates, in bits from the start of its header. */
const CHECKSUM_BITS = {
	tcp: 128,
	icmpv6: 16,
	udplite: 48,
} as const;
// Not UDP: if its checksum field is missing, the kernel treats the packet as one without a checksum.
const CHECKED = ["tcp", "icmpv6", "udplite"] as const;

/** With this many bytes after an IPv4 header without options or the IPv6 header, TCP's checksum is there. */
const ENOUGH = CHECKSUM_BITS.tcp / 8 + 2;

function checkChainName(base: string): string {
	return `${base}_check`;
}

function plainChainName(base: string): string {
	return `${base}_plain`;
}

export function laterChainName(base: string): string {
	return `${base}_later`;
}

/** Matches a fragment without the transport header. */
export function laterFragment(family: Family): readonly Expression[] {
	const offset =
		family === "ipv4"
			? masked(field("ip frag-off"), IPV4_FRAGMENT.offset)
			: masked(extensionHeader(EXTENSION_HEADER.fragment, 2, 2), IPV6_FRAGMENT_FIELD.offset);
	return match(offset, "!=", 0);
}

/** The extra chains for packets that the rules of a base chain cannot handle. */
export interface Detours {
	/** Later fragments go to a separate chain (laterChain), because a rule reads or writes the transport header. */
	readonly later: boolean;
}

/** The first rules of a base chain. */
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
		// TCP and UDP are in this range, but no extension header is.
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
		// Over IPv4, the kernel would also take protocol 58 for ICMPv6, whose checksum covers no address.
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

/** In the routing header (43): the number of segments left. */
const SEGMENTS_LEFT: Operand = extensionHeader(43, 3, 1);
const ACCEPT = verdict("accept");
const RETURN = verdict("return");

/** The kernel does not change the checksum of any other protocol except UDP. */
function checksumUnknown(): RuleSpec {
	const numbers = CHECKED.map((name) => PROTOCOL_NUMBER[name]).sort((a, b) => a - b);
	const anyOf = numbers.map((one) => ({ first: one, last: one }));
	return { conditions: match(meta("l4proto"), "!=", { anyOf }), actions: [RETURN], ordinals: [] };
}

/** If the field is not in the packet, reading it fails, and the rule does not match. */
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

/** The rules of a base chain again, with writes that leave the transport checksum alone. */
export function addressOnlyChain(base: string, rules: readonly RuleSpec[]): ChainSpec {
	return { name: plainChainName(base), rules: [...rules, END] };
}

/** What a base chain's rules do to later fragments, whose transport checksum the kernel leaves alone. */
export function laterChain(base: string, rules: readonly RuleSpec[]): ChainSpec {
	return { name: laterChainName(base), rules: [...rules, END] };
}

/** No packet returns from a detour to the base chain. */
const END: RuleSpec = { conditions: [], actions: [ACCEPT], ordinals: [] };

export function portChainName(port: number): string {
	return `dport_${port}`;
}

/**
 * Sets the destination port. TCP and UDP only: for other protocols the kernel would leave a wrong checksum. The rules
 * do not match a header that is truncated before its ports. They never see later fragments.
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
