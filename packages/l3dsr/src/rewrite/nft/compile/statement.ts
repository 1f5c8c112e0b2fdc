/**
 * Statements of nft rules, each in two forms: the text that goes into a batch, and the JSON in which
 * `nft -n -j list` prints it back. The two are a fixed point of the kernel and nft (a property test holds
 * them to it), which is how an altered rule is told from an intact one.
 */
import type { Family } from "@l3dsr/packet";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface Statement {
	/** As `nft -f` reads it. */
	readonly text: string;
	/** As `nft -n -j list` prints it; more or fewer than one where nft reads the bytecode differently. */
	readonly listed: readonly Json[];
}

/** Something that has a value in a packet, or a value to compare it with. */
export interface Expression {
	readonly text: string;
	readonly listed: Json;
}

export type Comparison = "==" | "!=" | "<" | ">" | ">=";

/** nft's word for a family: of tables, and of the header protocol. */
export function nftFamily(family: Family): "ip" | "ip6" {
	return family === "ipv4" ? "ip" : "ip6";
}

/** A field of a header that nft knows: `ip dscp`, `tcp dport`. */
export function payload(protocol: string, field: string): Expression {
	return { text: `${protocol} ${field}`, listed: { payload: { protocol, field } } };
}

/** Bits by their place: `@nh,8,8`. Offset and length in bits; `nh` network header, `th` transport header. */
export function rawPayload(base: "nh" | "th", offset: number, len: number): Expression {
	return { text: `@${base},${offset},${len}`, listed: { payload: { base, offset, len } } };
}

export function meta(key: string): Expression {
	return { text: `meta ${key}`, listed: { meta: { key } } };
}

/** `left & mask`. */
export function masked(left: Expression, mask: number): Expression {
	return { text: `${left.text} & 0x${mask.toString(16)}`, listed: { "&": [left.listed, mask] } };
}

export function number(value: number): Expression {
	return { text: String(value), listed: value };
}

/** A word that nft prints as it reads it: an address. */
export function word(text: string): Expression {
	return { text, listed: text };
}

/** `first-last`, or the one value. Inclusive. */
export function range(first: number, last: number): Expression {
	if (first === last) return number(first);
	return { text: `${first}-${last}`, listed: { range: [first, last] } };
}

/** An anonymous set; of one member, the member itself. */
export function anyOf(members: readonly Expression[]): Expression {
	const [only] = members;
	if (members.length === 1 && only !== undefined) return only;
	return {
		text: `{ ${members.map(({ text }) => text).join(", ")} }`,
		listed: { set: members.map(({ listed }) => listed) },
	};
}

export function match(left: Expression, op: Comparison, right: Expression): Statement {
	return {
		text: `${left.text} ${op === "==" ? "" : `${op} `}${right.text}`,
		listed: [{ match: { op, left: left.listed, right: right.listed } }],
	};
}

/** `key set value`. */
export function mangle(key: Expression, value: Expression): Statement {
	return {
		text: `${key.text} set ${value.text}`,
		listed: [{ mangle: { key: key.listed, value: value.listed } }],
	};
}

export const ACCEPT: Statement = { text: "accept", listed: [{ accept: null }] };
export const RETURN: Statement = { text: "return", listed: [{ return: null }] };
export const CONTINUE: Statement = { text: "continue", listed: [{ continue: null }] };

export function jump(target: string): Statement {
	return { text: `jump ${target}`, listed: [{ jump: { target } }] };
}

export function goTo(target: string): Statement {
	return { text: `goto ${target}`, listed: [{ goto: { target } }] };
}
