/**
 * What the loop needs from the world beyond the host that it manages. It is passed in, so that a test can replace it.
 */
import type { Hold } from "../host/hold.ts";
import type { HostEffects } from "../reconcile/host-effects.ts";
import type { SpareTables } from "../reconcile/spare-tables.ts";
import type { SourceFiles } from "../sources/source-files.ts";
import type { EventHandler } from "./events/event.ts";

export interface AgentHost extends HostEffects, SourceFiles {
	/** Our tables, from the last plan that left nothing to do. */
	readonly spare: Pick<SpareTables, "keep" | "isMissing" | "restore">;
}

export interface AgentEffects {
	/** Starts to report events. Throws L3dsrError, or what its parts throw. */
	monitor(report: EventHandler): EventMonitor;
	/** An operator's order to leave the host alone, if there is one. */
	hold(): Hold | undefined;
	/** Names of the processes in this network namespace, from /proc/PID/comm. */
	runningPrograms(): ReadonlySet<string>;
	/** Monotonic clock, in milliseconds. */
	monotonicMs(): number;
	/** CPU time of this process so far, in milliseconds. */
	processorMs(): number;
	/** The wall clock, used only for records. */
	now(): Date;
}

export interface EventMonitor extends Disposable {
	/** Marks the start of a run. The run's own changes do not count as events, but one more look follows it. */
	mark(): void;
	/** True if the kernel has reported no event since the mark. */
	quietSinceMark(): boolean;
	/** Watches the programs of these interfaces: those at which programs of ours may be attached at tcx. */
	watchPrograms(interfaces: ReadonlySet<string>): void;
	/** Watches these paths. Returns one sentence for each folder that cannot be watched. */
	watchFiles(paths: readonly { readonly path: string; readonly isFolder: boolean }[]): readonly string[];
}
