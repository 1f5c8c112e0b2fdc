/**
 * Rules in order. A chain may be spread over two datapaths, so each rule carries an ordinal into the kernel; sorted
 * by it, the observed rules form one chain again.
 */
import type { Counters, Rule } from "./rule.ts";

/** A rule and its place. `ordinal` is a safe integer, unique within a family's table and chain. */
export interface RuleEntry {
	readonly rule: Rule;
	readonly ordinal: number;
	/**
	 * Desired: counters to set (as by `-restore -c` and `-Z`); undefined keeps those of the same rule at the same
	 * ordinal, and starts a new rule at zero.
	 */
	readonly counters?: Counters;
}

/** The place of a rule as a key: each place has one rule on each datapath. */
export function placeOf({
	rule: { family, table, chain },
	ordinal,
}: Pick<RuleEntry, "rule" | "ordinal">): string {
	return `${family} ${table} ${chain} ${ordinal}`;
}

/** Every rule that this host should have, of both families, in ordinal order within each chain. */
export interface Ruleset {
	readonly entries: readonly RuleEntry[];
}

export const EMPTY_RULESET: Ruleset = Object.freeze({ entries: Object.freeze([]) });

/** The usual distance between neighbouring ordinals, which leaves room to insert rules. */
export const ORDINAL_STEP = 1024;
