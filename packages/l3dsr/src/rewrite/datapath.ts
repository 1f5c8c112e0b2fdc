/**
 * A datapath: the component that rewrites packets. `nft` and `ebpf` implement this interface.
 *
 * The kernel holds all state. `observe` reads it into a snapshot, and the snapshot makes the change: one atomic
 * change, so that packets see either the old rules or the new ones.
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
	/** On eBPF: the hook of its program, on the rule's interface. */
	readonly hook?: HookName;
}

/**
 * An object in a place that l3dsr owns that belongs to no l3dsr rule, or a rule that is not intact. Objects are named
 * as their own tools name them: `table ip l3dsr, chain raw_PREROUTING, handle 12`.
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
 * What one datapath held when it was observed. It contains only values (handles, ids, a generation), no descriptors,
 * and serves for one change: observe again after it.
 */
export interface Snapshot extends Observation {
	/** Counters are from an earlier observation: a change with this snapshot would set some of them back. */
	readonly oldCounters?: boolean;
	/**
	 * Makes the kernel hold exactly `desired`, and changes only what differs from this snapshot. Rules that stay keep
	 * their counters. Throws L3dsrError with the old rules still in force. DATAPATH_CHANGED: the kernel no longer holds
	 * what was observed, so the caller must observe and plan again.
	 */
	change(desired: Ruleset): Promise<void>;
}

export interface ObserveOptions {
	/** If nothing has changed since an earlier observation, its counters are enough, because no change will follow. */
	readonly oldCounters?: boolean;
}

export interface Datapath {
	readonly name: DatapathName;
	/**
	 * Reads the kernel and never changes anything. Does not read again what it knows to be unchanged. Throws L3dsrError
	 * (KERNEL_*, PROGRAM_*).
	 */
	observe(options?: ObserveOptions): Promise<Snapshot>;
}
