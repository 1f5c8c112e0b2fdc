/** What a reading need not decode again, because it cannot have changed: rules but for their counters, and their sets. */
import type { AnonymousSet, Counter } from "./element.ts";
import type { Rule, Table } from "./ruleset.ts";

/**
 * From one reading of a network namespace to the next. A rule stands under its handle as it was made, and so does the set
 * of a single rule; and no handle is given twice.
 */
export class TableMemory {
	#before = new Map<string, AnonymousSet | Rule>();
	#known = new Map<string, AnonymousSet | Rule>();

	/** Another reading begins: what the last one did not meet is forgotten. */
	begin(): void {
		this.#before = this.#known;
		this.#known = new Map();
	}

	/** The set of this handle, or what `read` gives. */
	set(table: Table, handle: bigint, read: () => AnonymousSet): AnonymousSet {
		const key = `${placeOf(table)} set ${handle}`;
		const known = this.#known.get(key) ?? this.#before.get(key);
		const set = known !== undefined && "elements" in known ? known : read();
		this.#known.set(key, set);
		return set;
	}

	/** The rule of this handle with what its counter says now; undefined for one that is not known. */
	rule(table: Table, handle: bigint, { packets, bytes }: Counter): Rule | undefined {
		const known = this.#before.get(`${placeOf(table)} rule ${handle}`);
		if (known === undefined || !("expressions" in known)) return undefined;
		const expressions = known.expressions.map((one) =>
			one.kind === "counter" ? ({ kind: "counter", packets, bytes } as const) : one,
		);
		return { ...known, expressions };
	}

	/** With more than one counter, or none, it is decoded each time. */
	keep(table: Table, rule: Rule): void {
		if (rule.expressions.filter(({ kind }) => kind === "counter").length !== 1) return;
		this.#known.set(`${placeOf(table)} rule ${rule.handle}`, rule);
	}
}

function placeOf({ family, handle }: Table): string {
	return `${family} ${handle}`;
}
