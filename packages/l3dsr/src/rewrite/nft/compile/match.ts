/** The matches of a rule as nft statements, each with the meaning that its xt_* module gives it. */
import { addressBits, type Prefix, tosOfDscp } from "@l3dsr/packet";
import type { InterfaceMatch, Match, Rule } from "../../../model/rule.ts";
import { compilePorts, transportName } from "./port-match.ts";
import {
	type Expression,
	masked,
	match,
	meta,
	nftFamily,
	number,
	payload,
	range,
	rawPayload,
	type Statement,
	word,
} from "./statement.ts";

/**
 * All conditions at once; a packet meets at most one of several lists (`--ports` needs two). A condition
 * that always holds is left out, and one that never can makes the whole rule one that never matches.
 */
export type Alternatives = readonly (readonly Statement[])[];

/** A condition that no packet can meet. */
const NEVER = "never";
type Condition = readonly Statement[] | typeof NEVER;

export function compileMatches(rule: Rule): Alternatives {
	const free = freeMatches(rule);
	const routed = (one: FreeMatch): boolean => one.kind === "addrtype";
	const conditions = [
		...free.filter((one) => !routed(one)).map((one) => freeMatch(rule, one)),
		...headerConditions(rule),
		// Looks into the routing tables: for packets that met all the rest.
		...free.filter(routed).map((one) => freeMatch(rule, one)),
	];
	const behind = compilePorts(rule);
	// One list of statements that cannot match stands for all of them.
	if (conditions.includes(NEVER) || behind.length === 0) {
		return [[match(payload(nftFamily(rule.family), "version"), "==", number(0))]];
	}
	const statements = conditions.flatMap((condition) => (condition === NEVER ? [] : condition));
	return behind.map(({ compared, present }) => [
		...statements,
		...protocol(rule, compared.length > 0),
		...compared,
		...(present === undefined ? [] : [present]),
	]);
}

/** Those that need no protocol; `ttl > 5 ttl < 9` the other way round would be listed as a range inside out. */
function freeMatches(rule: Rule): FreeMatch[] {
	const rank = (one: Match): number => (one.kind === "ttl" && one.comparison === "lt" ? 1 : 0);
	return rule.matches
		.flatMap((one) => (one.kind === "ports" || one.kind === "multiport" ? [] : [one]))
		.sort((a, b) => rank(a) - rank(b));
}

/** Cheap to compare and most telling first: DSCP stands in front, because matches come before the header. */
function headerConditions({ header, family }: Rule): Condition[] {
	const ip = nftFamily(family);
	const { source, destination, inInterface, outInterface, fragment } = header;
	return [
		source === undefined ? [] : prefix(payload(ip, "saddr"), source.prefix, source.negated),
		destination === undefined ? [] : prefix(payload(ip, "daddr"), destination.prefix, destination.negated),
		inInterface === undefined ? [] : interfaceName("iifname", inInterface),
		outInterface === undefined ? [] : interfaceName("oifname", outInterface),
		fragment === undefined
			? []
			: [match(masked(payload("ip", "frag-off"), 0x1fff), fragment.negated ? "==" : "!=", number(0))],
	];
}

/**
 * `-p`: IPv6, the last header of the chain, as ipv6_find_hdr finds it. Where conditions on transport
 * fields follow, nft prints the protocol as part of their names and not by itself.
 */
function protocol({ header }: Rule, implied: boolean): Statement[] {
	if (header.protocol === undefined) return [];
	const { number: value, negated } = header.protocol;
	// Not `ip protocol`, which nft would merge with the TTL beside it into one comparison.
	const statement = match(meta("l4proto"), negated ? "!=" : "==", number(value));
	return [
		implied && !negated && transportName(value) !== undefined ? { ...statement, listed: [] } : statement,
	];
}

type FreeMatch = Exclude<Match, { kind: "ports" } | { kind: "multiport" }>;

function freeMatch({ family }: Rule, one: FreeMatch): Condition {
	const ip = nftFamily(family);
	switch (one.kind) {
		case "dscp":
			return [equals(payload(ip, "dscp"), number(one.dscp), one.negated)];
		case "tos":
			return tos(ip, one);
		case "ecn":
			return [equals(payload(ip, "ecn"), number(one.ect), one.negated)];
		case "mark":
			return mark(one.value >>> 0, one.mask >>> 0, one.negated);
		case "mac": {
			const text = one.source.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
			// nft itself asks for an Ethernet device in front of this, as xt_mac does.
			return [equals(payload("ether", "saddr"), word(text), one.negated)];
		}
		case "addrtype": {
			const type: Expression = {
				text: "fib daddr type",
				listed: { fib: { result: "type", flags: ["daddr"] } },
			};
			return [equals(type, { text: "local", listed: RTN_LOCAL }, one.negated)];
		}
		case "length": {
			// The field of the IPv6 header does not count the header itself.
			const own = family === "ipv4" ? 0 : 40;
			return numberRange(payload(ip, "length"), one.first - own, one.last - own, 0xffff, one.negated);
		}
		case "ttl":
			return ttl(payload(ip, family === "ipv4" ? "ttl" : "hoplimit"), one);
		case "comment":
			return [];
	}
}

/** linux/rtnetlink.h */
const RTN_LOCAL = 2;

function equals(left: Expression, right: Expression, negated: boolean): Statement {
	return match(left, negated ? "!=" : "==", right);
}

/** A condition that does not look at the packet. */
function constant(holds: boolean): Condition {
	return holds ? [] : NEVER;
}

/** `left` in first–last, where `left` can be 0–`most`. */
function numberRange(
	left: Expression,
	first: number,
	last: number,
	most: number,
	negated: boolean,
): Condition {
	if (last < 0 || first > most) return constant(negated);
	const low = Math.max(0, first);
	const high = Math.min(most, last);
	if (low === 0 && high === most) return constant(!negated);
	return [equals(left, range(low, high), negated)];
}

/** The kernel compares the masked byte with the whole value: bits of it outside the mask never match. */
function tos(ip: "ip" | "ip6", { value, mask, negated }: Extract<Match, { kind: "tos" }>): Condition {
	if ((value & ~mask) !== 0) return constant(negated);
	if (mask === 0) return constant(!negated);
	const op = negated ? "!=" : "==";
	const dscp = (bits: number): Statement => match(payload(ip, "dscp"), op, number(bits >> 2));
	const ecn = (bits: number): Statement => match(payload(ip, "ecn"), op, number(bits));
	if (mask === 0xfc) return [dscp(value)];
	if (mask === 0x03) return [ecn(value)];
	// Traffic Class lies across two bytes, four bits into the first word of the header.
	const left = ip === "ip" ? rawPayload("nh", 8, 8) : rawPayload("nh", 0, 16);
	const shift = ip === "ip" ? 0 : 4;
	const raw = match(masked(left, mask << shift), op, number(value << shift));
	// nft lists the whole byte as its two fields, and of a mask that ends in 011 only the ECN bits.
	if (mask === 0xff) return [{ ...raw, listed: [...dscp(value).listed, ...ecn(value & 3).listed] }];
	return [(mask & 7) === 3 ? { ...raw, listed: ecn(value & 3).listed } : raw];
}

function mark(value: number, mask: number, negated: boolean): Condition {
	if ((value & ~mask) !== 0) return constant(negated);
	if (mask === 0) return constant(!negated);
	const left = meta("mark");
	return [equals(mask === 0xffffffff ? left : masked(left, mask), number(value), negated)];
}

function ttl(left: Expression, one: Extract<Match, { kind: "ttl" }>): Condition {
	if (one.comparison === "eq") return [equals(left, number(one.value), one.negated)];
	if (one.comparison === "lt") return one.value === 0 ? NEVER : [match(left, "<", number(one.value))];
	return one.value === 255 ? NEVER : [match(left, ">", number(one.value))];
}

function prefix(left: Expression, { address, length }: Prefix, negated: boolean): Condition {
	if (length === 0) return constant(!negated);
	if (length === addressBits(address.family)) return [equals(left, word(address.text), negated)];
	const right: Expression = {
		text: `${address.text}/${length}`,
		listed: { prefix: { addr: address.text, len: length } },
	};
	return [equals(left, right, negated)];
}

function interfaceName(key: "iifname" | "oifname", { name, wildcard, negated }: InterfaceMatch): Condition {
	if (wildcard && name === "") return constant(!negated);
	// A star at the end of a name means itself in iptables; in nft it is the wildcard.
	const escaped = !wildcard && name.endsWith("*") ? `${name.slice(0, -1)}\\*` : name;
	const text = wildcard ? `${escaped}*` : escaped;
	return [
		equals({ text: `meta ${key}`, listed: meta(key).listed }, { text: `"${text}"`, listed: text }, negated),
	];
}

/** Key of a DSCP in a map: the bits as they stand in the byte (IPv4) or 16 bits (IPv6) that hold them. */
export function dscpKey(family: Rule["family"], value: Parameters<typeof tosOfDscp>[0]): number {
	return family === "ipv4" ? tosOfDscp(value) : tosOfDscp(value) << 4;
}

/**
 * What looks a DSCP up in a map. Not `ip6 dscp`: nft 1.0.6 makes 0 of its key in named maps. nft lists it by
 * the field's name all the same.
 */
export function dscpLookup(family: Rule["family"]): { readonly typeof: string; readonly key: Expression } {
	const field = family === "ipv4" ? rawPayload("nh", 8, 8) : rawPayload("nh", 0, 16);
	const { text } = masked(field, dscpKey(family, 63 as Parameters<typeof tosOfDscp>[0]));
	return { typeof: field.text, key: { text, listed: payload(nftFamily(family), "dscp").listed } };
}
