/**
 * Text keys for comparing what rules and elements do. nft(8), which wrote the tables of version 0.1.0, has several
 * forms for some conditions, depending on its version; here they are equal.
 */
import { type Expression, expressionKey, type PayloadWrite } from "@l3dsr/nftables";
import type { RuleSpec } from "./table.ts";

const COUNTER = "counter";

/** Equal for rules that do the same, regardless of counter values and comments. */
export function specKey({ conditions, counter, actions }: RuleSpec): string {
	return partKey(conditions) + (counter === undefined ? "" : COUNTER) + partKey(actions);
}

const parts = new WeakMap<readonly Expression[], string>();

/** Cached: all compilations of a rule share its conditions and actions. */
function partKey(expressions: readonly Expression[]): string {
	let key = parts.get(expressions);
	if (key === undefined) {
		key = expressionsKey(expressions);
		parts.set(expressions, key);
	}
	return key;
}

/** Like {@link specKey}, for a rule as the kernel has it. */
export function expressionsKey(expressions: readonly Expression[]): string {
	let key = "";
	for (let at = 0; at < expressions.length; at++) {
		const one = expressions[at];
		if (one === undefined) continue;
		const run = comparedRun(expressions, at);
		if (run !== undefined) {
			key += run.key;
			at = run.last;
		} else if (one.kind === "range" && one.operator === "==") {
			// nft 1.1.2 and later use one expression instead of two comparisons.
			const { register } = one;
			key += expressionKey({ kind: "compare", register, operator: ">=", value: one.first });
			key += expressionKey({ kind: "compare", register, operator: "<=", value: one.last });
		} else if (isUdpPortWrite(one))
			key += expressionKey({ ...one, checksum: UDP_CHECKSUM, pseudoHeader: false });
		else key += one.kind === "counter" ? COUNTER : expressionKey(one);
	}
	return key;
}

const UDP_CHECKSUM = 6;

/** nft 1.1 lets the kernel find UDP's checksum like that of any protocol, and handles datagrams without one. */
function isUdpPortWrite(one: Expression): one is PayloadWrite {
	return (
		one.kind === "payload write" &&
		one.base === "transport" &&
		one.length === 2 &&
		one.checksum === undefined &&
		one.pseudoHeader
	);
}

/** Comparisons of adjacent bytes of the packet; nft merges them if they fit into a register. */
function comparedRun(
	expressions: readonly Expression[],
	from: number,
): { readonly key: string; readonly last: number } | undefined {
	const first = comparedAt(expressions, from);
	if (first === undefined) return undefined;
	const { base, offset } = first;
	let end = offset;
	let value = "";
	let at = from;
	for (let next: typeof first | undefined = first; next !== undefined; next = comparedAt(expressions, at)) {
		if (next.base !== base || next.offset !== end) break;
		value += `${next.value.join(".")}.`;
		end += next.value.length;
		at += 2;
	}
	return { key: `\n${base} ${offset} == ${value}\n`, last: at - 1 };
}

function comparedAt(
	expressions: readonly Expression[],
	at: number,
): { readonly base: string; readonly offset: number; readonly value: Uint8Array } | undefined {
	const [load, compare] = [expressions[at], expressions[at + 1]];
	if (load?.kind !== "payload" || compare?.kind !== "compare" || compare.operator !== "==") return undefined;
	if (load.register !== compare.register || load.length !== compare.value.length) return undefined;
	return { base: load.base, offset: load.offset, value: compare.value };
}
