/** Rules to be found again by what they are, however many there are. Pure. */
import { type Rule, sameRule } from "./rule.ts";

interface Held {
	readonly rule: Rule;
	/** Of its adding. */
	readonly number: number;
}

/** Each as often as it was added. */
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

	/** Takes one that is the same out; false when there is none. */
	take(rule: Rule): boolean {
		const likely = this.#byHint.get(hintOf(rule)) ?? [];
		const index = likely.findIndex((one) => sameRule(one.rule, rule));
		if (index >= 0) likely.splice(index, 1);
		return index >= 0;
	}

	/** Those of a VIP and an interface together, in the order in which these were first added. */
	rules(): Rule[] {
		const held = [...this.#byHint.values()].flat().sort((a, b) => a.number - b.number);
		const rules = held.map(({ rule }) => rule);
		return [...Map.groupBy(rules, placeOf).values()].flat();
	}
}

/**
 * The same for rules that are the same, and different for most others: a comparison walks a whole rule, and many rules
 * may have one VIP, or one port.
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
