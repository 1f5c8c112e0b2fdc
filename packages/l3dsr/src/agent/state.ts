/**
 * What the agent shows of itself, to whoever serves it: metrics, the HTTP API, the page. Reading changes nothing, and
 * nobody who reads can hold up the loop.
 */
import type { Diagnostic } from "../errors.ts";
import type { StatusRecord } from "../inspect/status/status.ts";
import type { ConfiguredHost } from "../reconcile/configured-host.ts";
import type { Plan } from "../reconcile/target.ts";
import type { Wish } from "../sources/wish.ts";
import type { AgentRecord, CauseKind, Trigger } from "./record.ts";

/**
 * `starting`: no run has ended. `right`: the last run left the host as its configuration says. `failing`: it could not.
 * `contended`: something else changes it back again and again. `held`: `l3dsr down` was typed.
 */
export type Condition = "starting" | "right" | "failing" | "contended" | "held";

/** One observe → plan → apply → verify. */
export interface RunSummary {
	/** When it began: ISO 8601, UTC. */
	readonly time: string;
	readonly tookMs: number;
	readonly triggers: readonly Trigger[];
	readonly outcome: "settled" | "changed" | "failed";
}

/** Since the process began. */
export interface AgentCounts {
	readonly runs: Readonly<Record<RunSummary["outcome"], number>>;
	readonly repairs: Readonly<Record<CauseKind, number>>;
	/** Events that were heard, by what they were about. */
	readonly events: Readonly<Record<Trigger, number>>;
	readonly configurationsRefused: number;
}

/** Plain data. */
export interface AgentView {
	readonly version: string;
	readonly process: number;
	/** ISO 8601, UTC. */
	readonly startedAt: string;
	readonly condition: Condition;
	readonly configuration: {
		readonly source: string;
		readonly services: number;
		/** When the one in force was read: ISO 8601, UTC. */
		readonly readAt: string;
		/** Why the file as it is now is not in force. */
		readonly refused?: readonly Diagnostic[];
	};
	readonly lastRun?: RunSummary;
	/** When a run last left the host matching its configuration: ISO 8601, UTC. */
	readonly rightAt?: string;
	/** What the last run failed with. */
	readonly failure?: readonly Diagnostic[];
	readonly counts: AgentCounts;
}

export interface AgentState {
	view(): AgentView;
	/** The configuration in force; before the first run has ended well, what was read. */
	wish(): Wish | undefined;
	/** The host as the last run left it; its counters may be of an earlier one. Undefined before the first run has ended. */
	plan(): Plan<ConfiguredHost> | undefined;
	/**
	 * The host as it is now: one look at the kernel, which all that ask while it is made share. Changes nothing. Rejects
	 * with L3dsrError (KERNEL_*).
	 */
	status(): Promise<StatusRecord>;
	/** The latest records (at most {@link RECORDS_KEPT}), oldest first; only those with a greater id than `after`. */
	records(after?: number): readonly AgentRecord[];
	/** Called at the end of each run, until disposed of: what `view` gives is new then. It must not throw. */
	onRun(listener: () => void): Disposable;
	/** Called with each new record, in order, until disposed of. What it throws is not caught: it must not throw. */
	subscribe(listener: (record: AgentRecord) => void): Disposable;
}

export const RECORDS_KEPT = 1000;
