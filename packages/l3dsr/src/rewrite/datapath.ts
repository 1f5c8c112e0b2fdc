/**
 * A datapath: that which rewrites packets. Two engines implement this interface, `nft` and `ebpf`.
 *
 * Flow: a ruleset is applied (one atomic change: packets see the old rules or the new ones, never none),
 * and observed back from the kernel, which is the only state.
 */
import type { Counters, Rule } from "../model/rule.ts";
import type { Ruleset } from "../model/ruleset.ts";

export type DatapathName = "ebpf" | "nft";

/** A rule as the kernel has it. */
export interface ObservedRule {
	readonly rule: Rule;
	readonly ordinal: number;
	readonly counters: Counters;
	readonly datapath: DatapathName;
}

/** Something in a place that l3dsr owns which no l3dsr rule accounts for, or a rule that is not intact. */
export interface Finding {
	readonly datapath: DatapathName;
	/** Named as its own tool names it: `table ip l3dsr, chain raw_PREROUTING, handle 12`. */
	readonly object: string;
	readonly problem: string;
}

export interface Observation {
	/** In ordinal order within family, table and chain. */
	readonly rules: readonly ObservedRule[];
	readonly findings: readonly Finding[];
}

export const EMPTY_OBSERVATION: Observation = Object.freeze({ rules: [], findings: [] });

/** What holds rules. Callers hold the lock (`host/lock.ts`) around observe → plan → apply. */
export interface RuleStore {
	/** Reads the kernel. Throws L3dsrError (KERNEL_*, PROGRAM_*); never changes anything. */
	observe(): Promise<Observation>;
	/**
	 * Makes the kernel hold exactly `desired`, changing only what differs from `observed`, which must be
	 * the latest observation of this object. Counters of untouched rules go on. Throws L3dsrError with the old
	 * rules still in force.
	 */
	apply(desired: Ruleset, observed: Observation): Promise<void>;
}

/** One engine. */
export interface Datapath extends RuleStore {
	readonly name: DatapathName;
}
