/**
 * Rules in order. The order of a chain may be spread over two datapaths, so each rule carries an ordinal
 * with it into the kernel; sorted by it, what was observed reads as one chain again.
 */
import type { Counters, Rule } from "./rule.ts";

/** A rule in its place. `ordinal` is a safe integer, unique within a family's table and chain. */
export interface RuleEntry {
	readonly rule: Rule;
	readonly ordinal: number;
	/**
	 * Desired: counters to set (as `-restore -c` and `-Z` do); undefined keeps those of the same rule at
	 * the same ordinal, and starts a new rule at zero.
	 */
	readonly counters?: Counters;
}

/** Every rule that this host should have, of both families, in ordinal order within each chain. */
export interface Ruleset {
	readonly entries: readonly RuleEntry[];
}

export const EMPTY_RULESET: Ruleset = Object.freeze({ entries: Object.freeze([]) });

/** Distance between the ordinals of neighbours when there is freedom to choose: room to insert between. */
export const ORDINAL_STEP = 1024;
