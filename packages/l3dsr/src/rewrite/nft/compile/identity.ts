/**
 * Compares what rules do. Usually the expressions are the same, one by one. nft(8), which wrote the tables of version
 * 0.1.0, has several forms for some conditions, depending on its version: text keys, in which they are equal, decide
 * when the expressions differ.
 */
import { type Expression, expressionKey, type PayloadWrite, sameExpression } from "@l3dsr/nftables";
import type { ListedRule } from "./listing.ts";
import type { RuleSpec } from "./table.ts";

const COUNTER = "counter";

/** Whether a listed rule does what `spec` says, regardless of counter values and comments. */
export function doesSame(listed: ListedRule, spec: RuleSpec): boolean {
	return hasExpressions(listed.expressions, spec) || partKey(listed.expressions) === specKey(spec);
}

/** The rules of a chain, from which rules with the same comment that do the same are taken, each once. */
export class RulePool {
	readonly #rules: readonly ListedRule[];
	/** Rules before it have been taken, in order: a chain mostly has the rules that it should have. */
	#next = 0;
	/** The indexes of the others, by identity, once a rule was not the next one. */
	#others: Map<string, number[]> | undefined;

	constructor(rules: readonly ListedRule[]) {
		this.#rules = rules;
	}

	/** The index of the first such rule that is left; undefined if there is none. */
	take(spec: RuleSpec): number | undefined {
		if (this.#others === undefined) {
			const next = this.#rules[this.#next];
			if (next !== undefined && next.comment === spec.comment && hasExpressions(next.expressions, spec)) {
				return this.#next++;
			}
			this.#others = this.#byIdentity();
		}
		return this.#others.get(`${spec.comment ?? ""}\n${specKey(spec)}`)?.shift();
	}

	/** The rules that were not taken, those that do the same next to each other. */
	left(): ListedRule[] {
		if (this.#others === undefined) return this.#rules.slice(this.#next);
		return [...this.#others.values()].flat().flatMap((index) => this.#rules[index] ?? []);
	}

	#byIdentity(): Map<string, number[]> {
		const byIdentity = new Map<string, number[]>();
		for (let index = this.#next; index < this.#rules.length; index++) {
			const { comment = "", expressions = [] } = this.#rules[index] ?? {};
			const identity = `${comment}\n${partKey(expressions)}`;
			const same = byIdentity.get(identity);
			if (same === undefined) byIdentity.set(identity, [index]);
			else same.push(index);
		}
		return byIdentity;
	}
}

/** Whether a rule's expressions are those of `spec`, one by one; if not, the rule may still do the same. */
function hasExpressions(
	expressions: readonly Expression[],
	{ conditions, counter, actions }: RuleSpec,
): boolean {
	const counters = counter === undefined ? 0 : 1;
	if (expressions.length !== conditions.length + counters + actions.length) return false;
	if (counters === 1 && expressions[conditions.length]?.kind !== "counter") return false;
	return areAt(expressions, 0, conditions) && areAt(expressions, conditions.length + counters, actions);
}

function areAt(expressions: readonly Expression[], from: number, wanted: readonly Expression[]): boolean {
	for (let at = 0; at < wanted.length; at++) {
		const [one, other] = [expressions[from + at], wanted[at]];
		if (one === undefined || other === undefined || !sameExpression(one, other)) return false;
	}
	return true;
}

/** Whether two lists of our own making do the same: we have one form for each condition. */
export function sameExpressions(a: readonly Expression[], b: readonly Expression[]): boolean {
	return a === b || (a.length === b.length && areAt(a, 0, b));
}

/** Equal for rules that do the same, regardless of counter values and comments. */
function specKey({ conditions, counter, actions }: RuleSpec): string {
	return partKey(conditions) + (counter === undefined ? "" : COUNTER) + partKey(actions);
}

const parts = new WeakMap<readonly Expression[], string>();

/** Cached: all compilations of a rule share its conditions and actions, and all listings its expressions. */
function partKey(expressions: readonly Expression[]): string {
	let key = parts.get(expressions);
	if (key === undefined) {
		key = expressionsKey(expressions);
		parts.set(expressions, key);
	}
	return key;
}

function expressionsKey(expressions: readonly Expression[]): string {
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
