/** What the loop asks of the world beyond the host that it keeps: passed in, so that a test can pass something else. */
import type { Hold } from "../host/hold.ts";
import type { HostEffects } from "../reconcile/host-effects.ts";
import type { SourceFiles } from "../sources/source-files.ts";
import type { Hear } from "./hearing/heard.ts";

export interface AgentHost extends HostEffects, SourceFiles {}

export interface AgentEffects {
	/** Events from now on. Throws L3dsrError, or what its parts throw. */
	listen(hear: Hear): Ears;
	/** The word of an operator to leave the host alone. */
	hold(): Hold | undefined;
	/** Names of the processes in this network namespace, as /proc/PID/comm has them. */
	runningPrograms(): ReadonlySet<string>;
	/** Milliseconds since some time in the past; never goes back. */
	monotonicMs(): number;
	/** The wall clock: for records alone. */
	now(): Date;
}

export interface Ears extends Disposable {
	/** A run begins: what it changes is not news, but is looked at once more after it. */
	mark(): void;
	/** Nothing has happened since then, as far as the kernel tells until now. */
	quietSinceMark(): boolean;
	/** Names of the interfaces on which rules run on eBPF. */
	watchPrograms(interfaces: ReadonlySet<string>): void;
	/** Gives a sentence for each folder that cannot be watched. */
	watchFiles(paths: readonly { readonly path: string; readonly isFolder: boolean }[]): readonly string[];
}
