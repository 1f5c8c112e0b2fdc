/**
 * A datapath: the component that rewrites packets. Two of them implement this interface, `nft` and `ebpf`.
 *
 * The kernel is the only state. `observe` reads it and gives a snapshot, and the snapshot makes the change: one
 * atomic change, so that packets see the old rules or the new ones, never none.
 */
import type { Finding } from "../model/finding.ts";
import type { Counters, Rule } from "../model/rule.ts";
import type { Ruleset } from "../model/ruleset.ts";

export type DatapathName = "ebpf" | "nft";

/** Where a program is attached. */
export const HOOK_NAMES = ["tcx", "clsact", "xdp", "xdp-generic"] as const;
export type HookName = (typeof HOOK_NAMES)[number];

/** A rule as the kernel has it. */
export interface ObservedRule {
	readonly rule: Rule;
	readonly ordinal: number;
	readonly counters: Counters;
	readonly datapath: DatapathName;
	/** On eBPF: of its program, on the interface that the rule names. */
	readonly hook?: HookName;
}

/**
 * Something in a place that l3dsr owns which no l3dsr rule accounts for, or a rule that is not intact. The object
 * is named as its own tool names it: `table ip l3dsr, chain raw_PREROUTING, handle 12`.
 */
export interface DatapathFinding extends Finding {
	readonly datapath: DatapathName;
}

export interface Observation {
	/** In ordinal order within family, table and chain. */
	readonly rules: readonly ObservedRule[];
	readonly findings: readonly DatapathFinding[];
}

/**
 * What one datapath had when it was observed. It holds values only (handles, ids, a generation), no descriptors,
 * and it is good for one change: observe again after it.
 */
export interface Snapshot extends Observation {
	/** The counters are those of an earlier observation: a change by this snapshot would set some of them back. */
	readonly oldCounters?: boolean;
	/**
	 * Makes the kernel hold exactly `desired`, and changes only what differs from this snapshot. Counters of rules
	 * that stay go on. Throws L3dsrError with the old rules still in force. DATAPATH_CHANGED: the kernel no longer
	 * has what was observed, so that the caller has to observe and plan again.
	 */
	change(desired: Ruleset): Promise<void>;
}

export interface ObserveOptions {
	/** Where nothing has changed since an earlier observation, its counters will do: nothing is going to be changed. */
	readonly oldCounters?: boolean;
}

export interface Datapath {
	readonly name: DatapathName;
	/**
	 * Reads the kernel and never changes anything; what it knows to be unchanged since the last time it does not read again.
	 * Throws L3dsrError (KERNEL_*, PROGRAM_*).
	 */
	observe(options?: ObserveOptions): Promise<Snapshot>;
}
