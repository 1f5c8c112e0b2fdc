/** A collection of rules that finds equal rules quickly, however many there are. Pure. */
import { type Rule, sameRule } from "./rule.ts";

interface Held {
	readonly rule: Rule;
	/** Its position in the order of adding. */
	readonly number: number;
}

/** Holds each rule as often as it was added. */
export class RuleBag {
	readonly #byHint = new Map<string, Held[]>();
	#added = 0;

	constructor(rules: Iterable<Rule> = []) {
		for (const rule of rules) this.add(rule);
	}

	add(rule: Rule): void {
		const hint = hintOf(rule);
		const same = this.#byHint.get(hint);
		const held = { rule, number: this.#added++ };
		if (same === undefined) this.#byHint.set(hint, [held]);
		else same.push(held);
	}

	has(rule: Rule): boolean {
		return this.#byHint.get(hintOf(rule))?.some((one) => sameRule(one.rule, rule)) === true;
	}

	/** Takes an equal rule out; false if there is none. */
	take(rule: Rule): boolean {
		const likely = this.#byHint.get(hintOf(rule)) ?? [];
		const index = likely.findIndex((one) => sameRule(one.rule, rule));
		if (index >= 0) likely.splice(index, 1);
		return index >= 0;
	}

	/** The rules, grouped by VIP and interface, in the order in which each group was first added. */
	rules(): Rule[] {
		const held = [...this.#byHint.values()].flat().sort((a, b) => a.number - b.number);
		const rules = held.map(({ rule }) => rule);
		return [...Map.groupBy(rules, placeOf).values()].flat();
	}
}

/**
 * The same for equal rules, and different for most others. Comparing whole rules is slow, and many rules may share a
 * VIP or a port.
 */
function hintOf(rule: Rule): string {
	const { source, destination } = rule.header;
	const parts = [
		placeOf(rule),
		rule.family,
		rule.chain,
		source?.prefix.address.text,
		destination?.prefix.address.text,
	];
	for (const match of rule.matches) {
		if (match.kind === "comment") parts.push(match.text);
		else if (match.kind === "dscp") parts.push(String(match.dscp));
		else if (match.kind === "ports") parts.push(String(match.destination?.first));
		else if (match.kind === "multiport") parts.push(String(match.ports[0]?.first));
	}
	return parts.join(" ");
}

function placeOf({ table, header, target }: Rule): string {
	return `${table} ${header.inInterface?.name ?? ""} ${target.daddr.text}`;
}
