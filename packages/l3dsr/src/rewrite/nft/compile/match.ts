/** Compiles the matches of a rule to nf_tables conditions, each with the meaning that its xt_* module gives it. */
import {
	type Comparison,
	type Expression,
	fibType,
	field,
	masked,
	match,
	meta,
	numberBytes,
	type Operand,
	rawField,
} from "@l3dsr/nftables";
import { addressBits, CHECKSUM_OFFSET, type Dscp, type Prefix, tosOfDscp } from "@l3dsr/packet";
import { asksForPorts, type InterfaceMatch, isOfPorts, type Match, type Rule } from "../../../model/rule.ts";
import { compilePorts, compileQuotedPorts } from "./port-match.ts";
import { quotesOf } from "./quote.ts";
import { nftFamily } from "./table.ts";

/** All of these conditions must hold. */
export interface Alternative {
	readonly conditions: readonly Expression[];
	/** The port that the rule may set: the packet's own, one that an ICMP error quotes, or none. */
	readonly port: "own" | QuotedPort | undefined;
}

/** Offset of a port in an ICMP message, in bytes from its start. */
export interface QuotedPort {
	readonly offset: number;
}

/**
 * A packet meets at most one of them (`--ports` needs two, ICMP errors have their own). Conditions that always hold
 * are left out; one that can never hold makes the whole rule NEVER. They do not see later fragments (laterFragments
 * below).
 */
export type Alternatives = readonly Alternative[];

/** A condition that no packet can meet. */
export const NEVER = "never";
type Condition = readonly Expression[] | typeof NEVER;

const compiled = new WeakMap<Rule, Alternatives>();

/** Cached: a rule is compiled once, however often it is planned, observed and compared. */
export function compileMatches(rule: Rule): Alternatives {
	let alternatives = compiled.get(rule);
	if (alternatives === undefined) {
		alternatives = compileConditions(rule);
		compiled.set(rule, alternatives);
	}
	return alternatives;
}

/** The one DSCP that the rule matches, as a map's key can be; undefined if it matches none, several, or all but one. */
export function dscpOf(rule: Rule): Extract<Match, { kind: "dscp" }> | undefined {
	const [selector, ...others] = rule.matches.filter((one) => one.kind === "dscp");
	return selector === undefined || selector.negated || others.length > 0 ? undefined : selector;
}

const bare = new WeakMap<Rule, Rule>();

/** Returns the same object each time, so that it is compiled once. */
export function withoutDscp(rule: Rule): Rule {
	let rest = bare.get(rule);
	if (rest === undefined) {
		rest = { ...rule, matches: rule.matches.filter(({ kind }) => kind !== "dscp") };
		bare.set(rule, rest);
	}
	return rest;
}

/** What a rule has in common with its neighbours is compiled for itself, and stands behind its DSCP. */
function compileConditions(rule: Rule): Alternatives {
	const dscp = dscpOf(rule);
	if (dscp === undefined || rule.matches.find(isFree) !== dscp) return compileWhole(rule);
	const others = compileMatches(withoutDscp(rule));
	if (others === nothing(rule.family)) return others;
	const first = dscpCondition(rule.family, dscp);
	return others.map(({ conditions, port }) => ({ conditions: [...first, ...conditions], port }));
}

function compileWhole(rule: Rule): Alternatives {
	const statements = statementsOf(rule);
	const behind = compilePorts(rule);
	// A single NEVER replaces all lists of conditions that cannot match.
	if (statements === NEVER || (behind.length === 0 && rule.target.icmpErrors !== true)) {
		return nothing(rule.family);
	}
	const own = behind.map((ports): Alternative => {
		return { conditions: [...statements, ...protocol(rule), ...ports], port: "own" };
	});
	const alternatives = [...own, ...icmpErrors(rule)];
	return alternatives.length === 0 ? nothing(rule.family) : alternatives;
}

const matchingNothing = new Map<Rule["family"], Alternatives>();

/** The same for all rules of a family that match nothing. */
function nothing(family: Rule["family"]): Alternatives {
	let alternatives = matchingNothing.get(family);
	if (alternatives === undefined) {
		const conditions = match(field(`${nftFamily(family)} version`), "==", 0);
		alternatives = [{ conditions, port: "own" }];
		matchingNothing.set(family, alternatives);
	}
	return alternatives;
}

/** All conditions except protocol and ports. */
function statementsOf(rule: Rule): Condition {
	const free = freeMatches(rule);
	const routed = (one: FreeMatch): boolean => one.kind === "addrtype";
	const conditions = [
		...free.filter((one) => !routed(one)).map((one) => freeMatch(rule, one)),
		...headerConditions(rule),
		// A lookup in the routing tables comes last, for packets that met everything else.
		...free.filter(routed).map((one) => freeMatch(rule, one)),
	];
	if (conditions.includes(NEVER)) return NEVER;
	return conditions.flatMap((condition) => (condition === NEVER ? [] : condition));
}

/** The conditions under which the rule takes a fragment without a transport header; undefined if it never does. */
export function laterFragments(rule: Rule): readonly Expression[] | undefined {
	// Without ports to match, a rule already takes later fragments by their protocol.
	if (asksForPorts(rule) && rule.target.laterFragments !== true) return undefined;
	const statements = statementsOf(rule);
	return statements === NEVER ? undefined : [...statements, ...protocol(rule)];
}

/** The error may come from any address: the rule's source condition is for the client, which is quoted. */
function icmpErrors(rule: Rule): Alternative[] {
	const { source, protocol: asked, ...header } = rule.header;
	if (rule.target.icmpErrors !== true || asked === undefined) return [];
	const statements = statementsOf({ ...rule, header });
	if (statements === NEVER) return [];
	const settable = asked.number in CHECKSUM_OFFSET.ipv4;
	return quotesOf(rule.family, asked.number).flatMap((quote): Alternative[] => {
		const client = source === undefined ? [] : prefix(quote.destination, source.prefix, source.negated);
		if (client === NEVER) return [];
		const vip = match(quote.source, "==", Uint8Array.from(rule.target.daddr.bytes));
		// An answer has the flow's ports swapped.
		return compileQuotedPorts(rule, { source: quote.destinationPort, destination: quote.sourcePort }).map(
			(ports) => ({
				conditions: [...statements, ...quote.conditions, ...vip, ...client, ...ports],
				port: settable ? { offset: quote.portsOffset } : undefined,
			}),
		);
	});
}

/** The matches that need no protocol. */
function freeMatches(rule: Rule): FreeMatch[] {
	const rank = (one: Match): number => (one.kind === "ttl" && one.comparison === "lt" ? 1 : 0);
	return rule.matches.filter(isFree).sort((a, b) => rank(a) - rank(b));
}

/** Cheapest and most selective first: DSCP is in front, because matches come before the header. */
function headerConditions({ header, family }: Rule): Condition[] {
	const ip = nftFamily(family);
	const { source, destination, inInterface, outInterface, fragment } = header;
	return [
		source === undefined ? [] : prefix(field(`${ip} saddr`), source.prefix, source.negated),
		destination === undefined ? [] : prefix(field(`${ip} daddr`), destination.prefix, destination.negated),
		inInterface === undefined ? [] : interfaceName("iifname", inInterface),
		outInterface === undefined ? [] : interfaceName("oifname", outInterface),
		fragment === undefined
			? []
			: match(masked(field("ip frag-off"), 0x1fff), fragment.negated ? "==" : "!=", 0),
	];
}

/** `-p`; for IPv6, the last header of the chain, like ipv6_find_hdr. */
function protocol({ header }: Rule): readonly Expression[] {
	if (header.protocol === undefined) return [];
	const { number: value, negated } = header.protocol;
	return match(meta("l4proto"), negated ? "!=" : "==", value);
}

type FreeMatch = Exclude<Match, { kind: "ports" } | { kind: "multiport" }>;

function isFree(one: Match): one is FreeMatch {
	return !isOfPorts(one);
}

function freeMatch({ family }: Rule, one: FreeMatch): Condition {
	const ip = nftFamily(family);
	switch (one.kind) {
		case "dscp":
			return dscpCondition(family, one);
		case "tos":
			return tos(ip, one);
		case "ecn":
			return match(field(`${ip} ecn`), equals(one.negated), one.ect);
		case "mark":
			return mark(one.value >>> 0, one.mask >>> 0, one.negated);
		case "mac":
			return match(field("ether saddr"), equals(one.negated), Uint8Array.from(one.source));
		case "addrtype":
			return match(fibType(["daddr"]), equals(one.negated), RTN_LOCAL);
		case "length": {
			// The IPv6 length field does not count the header itself.
			const own = family === "ipv4" ? 0 : 40;
			return numberRange(field(`${ip} length`), one.first - own, one.last - own, 0xffff, one.negated);
		}
		case "ttl":
			return ttl(field(family === "ipv4" ? "ip ttl" : "ip6 hoplimit"), one);
		case "comment":
			return [];
	}
}

function dscpCondition(
	family: Rule["family"],
	{ dscp, negated }: Extract<Match, { kind: "dscp" }>,
): readonly Expression[] {
	return match(field(`${nftFamily(family)} dscp`), equals(negated), dscp);
}

/** linux/rtnetlink.h */
const RTN_LOCAL = 2;

function equals(negated: boolean): "==" | "!=" {
	return negated ? "!=" : "==";
}

/** A condition that does not depend on the packet. */
function constant(holds: boolean): Condition {
	return holds ? [] : NEVER;
}

/** `left` is in first–last, where `left` can be 0–`most`. */
function numberRange(left: Operand, first: number, last: number, most: number, negated: boolean): Condition {
	if (last < 0 || first > most) return constant(negated);
	const low = Math.max(0, first);
	const high = Math.min(most, last);
	if (low === 0 && high === most) return constant(!negated);
	return match(left, equals(negated), low === high ? low : { first: low, last: high });
}

/** The kernel compares the masked byte with the whole value, so a value with bits outside the mask never matches. */
function tos(ip: "ip" | "ip6", { value, mask, negated }: Extract<Match, { kind: "tos" }>): Condition {
	if ((value & ~mask) !== 0) return constant(negated);
	if (mask === 0) return constant(!negated);
	const operator: Comparison = equals(negated);
	if (mask === 0xfc) return match(field(`${ip} dscp`), operator, value >> 2);
	if (mask === 0x03) return match(field(`${ip} ecn`), operator, value);
	// Traffic Class spans two bytes, beginning four bits into the first word of the header.
	const [left, shift] = ip === "ip" ? [rawField("network", 8, 8), 0] : [rawField("network", 0, 16), 4];
	return match(masked(left, mask << shift), operator, value << shift);
}

function mark(value: number, mask: number, negated: boolean): Condition {
	if ((value & ~mask) !== 0) return constant(negated);
	if (mask === 0) return constant(!negated);
	const left = meta("mark");
	return match(mask === 0xffffffff ? left : masked(left, mask), equals(negated), value);
}

function ttl(left: Operand, one: Extract<Match, { kind: "ttl" }>): Condition {
	if (one.comparison === "eq") return match(left, equals(one.negated), one.value);
	if (one.comparison === "lt") return one.value === 0 ? NEVER : match(left, "<", one.value);
	return one.value === 255 ? NEVER : match(left, ">", one.value);
}

export function prefix(left: Operand, { address, length }: Prefix, negated: boolean): Condition {
	if (length === 0) return constant(!negated);
	const bytes = Uint8Array.from(address.bytes);
	const whole = length === addressBits(address.family);
	return match(left, equals(negated), whole ? bytes : { prefix: bytes, length });
}

function interfaceName(key: "iifname" | "oifname", { name, wildcard, negated }: InterfaceMatch): Condition {
	if (wildcard && name === "") return constant(!negated);
	return match(meta(key), equals(negated), { name, wildcard });
}

/** Key of a DSCP in a map: its bits in place, within the byte (IPv4) or 16 bits (IPv6) that hold them. */
export function dscpKey(family: Rule["family"], value: Dscp): number {
	return family === "ipv4" ? tosOfDscp(value) : tosOfDscp(value) << 4;
}

export function dscpKeyBytes(family: Rule["family"], value: Dscp): Uint8Array {
	return numberBytes(dscpKey(family, value), dscpPlace(family).length / 8);
}

/** The place of the DSCP as whole bytes, in bits of the network header. */
export function dscpPlace(family: Rule["family"]): {
	readonly base: "network";
	readonly offset: number;
	readonly length: number;
} {
	return family === "ipv4"
		? { base: "network", offset: 8, length: 8 }
		: { base: "network", offset: 0, length: 16 };
}

/** The operand that looks a DSCP up in a map. */
export function dscpOperand(family: Rule["family"]): Operand {
	const { base, offset, length } = dscpPlace(family);
	return masked(rawField(base, offset, length), dscpKey(family, ALL_BITS));
}

const ALL_BITS = 63 as Dscp;
