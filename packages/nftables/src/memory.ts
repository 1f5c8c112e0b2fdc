/**
 * Keeps decoded rules, and their anonymous sets, from one reading to the next: only their counters can
 * change.
 */
import type { AnonymousSet, Counter } from "./element.ts";
import type { Rule, Table } from "./ruleset.ts";

/**
 * Rules and sets of one network namespace, by handle. The kernel never changes the rule or anonymous set of a
 * handle, and never gives a handle twice.
 */
export class TableMemory {
	#before = new Map<string, AnonymousSet | Rule>();
	#known = new Map<string, AnonymousSet | Rule>();

	/** Begins another reading: forgets everything that the last reading did not meet. */
	begin(): void {
		this.#before = this.#known;
		this.#known = new Map();
	}

	/** The set with this handle, or the result of `read`. */
	set(table: Table, handle: bigint, read: () => AnonymousSet): AnonymousSet {
		const key = `${placeOf(table)} set ${handle}`;
		const known = this.#known.get(key) ?? this.#before.get(key);
		const set = known !== undefined && "elements" in known ? known : read();
		this.#known.set(key, set);
		return set;
	}

	/** The rule with this handle and its counter's current values; undefined if the rule is not known. */
	rule(table: Table, handle: bigint, { packets, bytes }: Counter): Rule | undefined {
		const known = this.#before.get(`${placeOf(table)} rule ${handle}`);
		if (known === undefined || !("expressions" in known)) return undefined;
		const expressions = known.expressions.map((one) =>
			one.kind === "counter" ? ({ kind: "counter", packets, bytes } as const) : one,
		);
		return { ...known, expressions };
	}

	/** A rule with several counters, or none, is decoded each time. */
	keep(table: Table, rule: Rule): void {
		if (rule.expressions.filter(({ kind }) => kind === "counter").length !== 1) return;
		this.#known.set(`${placeOf(table)} rule ${rule.handle}`, rule);
	}
}

function placeOf({ family, handle }: Table): string {
	return `${family} ${handle}`;
}
