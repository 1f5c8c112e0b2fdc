/**
 * What the agent shows of itself, for the metrics, the HTTP API and the page. Reading changes nothing, and a reader
 * cannot delay the loop.
 */
import type { Diagnostic } from "../errors.ts";
import type { StatusRecord } from "../inspect/status/status.ts";
import type { ConfiguredHost } from "../reconcile/configured-host.ts";
import type { Plan } from "../reconcile/target.ts";
import type { Wish } from "../sources/wish.ts";
import type { AgentRecord, CauseKind, Trigger } from "./record.ts";

/**
 * `starting`: no run has ended. `right`: the last run left the host as configured. `failing`: the last run failed.
 * `contended`: something else keeps changing it back. `held`: an operator ran `l3dsr down`.
 */
export type Condition = "starting" | "right" | "failing" | "contended" | "held";

/** One run: observe → plan → apply → verify. */
export interface RunSummary {
	/** When it began: ISO 8601, UTC. */
	readonly time: string;
	readonly tookMs: number;
	readonly triggers: readonly Trigger[];
	readonly outcome: "settled" | "changed" | "failed";
}

/** Counted since the process began. */
export interface AgentCounts {
	readonly runs: Readonly<Record<RunSummary["outcome"], number>>;
	readonly repairs: Readonly<Record<CauseKind, number>>;
	/** Events by trigger. */
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
		/** When the configuration in force was read: ISO 8601, UTC. */
		readonly readAt: string;
		/** Why the file's current content is not in force. */
		readonly refused?: readonly Diagnostic[];
	};
	readonly lastRun?: RunSummary;
	/** When a run last left the host matching its configuration: ISO 8601, UTC. */
	readonly rightAt?: string;
	/** The errors of the last run, if it failed. */
	readonly failure?: readonly Diagnostic[];
	readonly counts: AgentCounts;
}

export interface AgentState {
	view(): AgentView;
	/** The configuration in force; before the first success, the one that was read. */
	wish(): Wish | undefined;
	/** The host as the last run left it; its counters may be older. Undefined before the first run has ended. */
	plan(): Plan<ConfiguredHost> | undefined;
	/**
	 * Looks at the host now; calls made during a look share its result. Changes nothing. Rejects with L3dsrError
	 * (KERNEL_*).
	 */
	status(): Promise<StatusRecord>;
	/** The latest records (KEPT_RECORDS in model/recent.ts), oldest first; only those with an id above `after`. */
	records(after?: number): readonly AgentRecord[];
	/** Calls `listener` after each run, when `view` has new values, until disposed of. It must not throw. */
	onRun(listener: () => void): Disposable;
	/**
	 * Calls `listener` with each new record, in order, until disposed of. It must not throw: nothing catches what it
	 * throws.
	 */
	subscribe(listener: (record: AgentRecord) => void): Disposable;
}
