/**
 * Which configuration the agent keeps applied: the one that was last applied to the host. Files with an error, and files
 * whose configuration cannot be applied, change nothing; the reason is kept, and recorded once.
 */
import { type Diagnostic, type DiagnosticsOf, L3dsrError } from "../errors.ts";
import { sameValue } from "../model/rule.ts";
import { ReconcileError } from "../reconcile/failure.ts";
import type { Environment } from "../sources/dsr-conf.ts";
import type { SourceFiles } from "../sources/source-files.ts";
import type { Wish } from "../sources/wish.ts";
import type { Counts } from "./counts.ts";
import type { EventMonitor } from "./effects.ts";
import type { Trigger } from "./record.ts";
import type { RecordLog } from "./record-log.ts";
import { WishSource } from "./wish-source.ts";

export interface ReadWish {
	readonly wish: Wish;
	/** ISO 8601, UTC. */
	readonly readAt: string;
}

export interface ConfigurationOptions {
	readonly host: SourceFiles;
	/** Absolute path of the configuration. */
	readonly configuration: string;
	readonly env: Environment;
	readonly diagnosticsOf: DiagnosticsOf;
	/** The wall clock, used only for records. */
	readonly effects: { now(): Date };
}

/** Triggers after which the files are read. After a lost event anything may have changed. */
const OF_FILES: readonly Trigger[] = ["start", "file", "signal", "minute", "lost", "address"];
/** Triggers after which a configuration that was refused before any change may succeed. */
const MAY_HELP: readonly Trigger[] = ["file", "signal", "link", "address"];

export class ConfigurationInForce {
	readonly #options: ConfigurationOptions;
	readonly #log: RecordLog;
	readonly #counts: Counts;
	readonly #source: WishSource;
	#applied: ReadWish | undefined;
	#candidate: ReadWish | undefined;
	#refused: readonly Diagnostic[] | undefined;
	/** Whether the refused candidate may be tried again after an event that may help. */
	#worthRetry = false;
	#unwatched: readonly string[] = [];

	constructor(options: ConfigurationOptions, log: RecordLog, counts: Counts) {
		this.#options = options;
		this.#log = log;
		this.#counts = counts;
		this.#source = new WishSource(options.host, options.configuration, options.env);
	}

	/** The configuration last applied to the host; undefined before the first success. */
	get applied(): ReadWish | undefined {
		return this.#applied;
	}

	/** A configuration that was read without an error but is not applied yet. */
	get candidate(): ReadWish | undefined {
		return this.#candidate;
	}

	/** Why the files' current content is not in force. */
	get refused(): readonly Diagnostic[] | undefined {
		return this.#refused;
	}

	/** One sentence for each folder of the files that cannot be watched. */
	get unwatched(): readonly string[] {
		return this.#unwatched;
	}

	/** Reads the files if a trigger asks for it. Throws L3dsrError only while no configuration has been applied. */
	async read(triggers: readonly Trigger[], monitor: EventMonitor): Promise<void> {
		if (!triggers.some((trigger) => OF_FILES.includes(trigger))) return;
		const anew = triggers.includes("signal");
		const reading = await this.#source.read({ anew });
		if (reading.kind === "same") return;
		this.#unwatched = monitor.watchFiles(this.#source.paths);
		if (reading.kind === "refused") {
			if (this.#applied === undefined) throw reading.error;
			this.#candidate = undefined;
			this.#refuse(this.#options.diagnosticsOf(reading.error));
			return;
		}
		const read = { wish: reading.wish, readAt: this.#options.effects.now().toISOString() };
		this.#worthRetry = true;
		if (this.#applied !== undefined && sameWish(read.wish, this.#applied.wish)) {
			this.#candidate = undefined;
			// After a reload the configuration counts as read anew, even if it is the same.
			if (anew) this.#applied = read;
			this.#noteRestored(this.#applied.wish);
		} else this.#candidate = read;
	}

	/** The candidate, unless it was refused and these triggers cannot help. */
	candidateFor(triggers: readonly Trigger[]): ReadWish | undefined {
		const mayTry = this.#refused === undefined || triggers.some((trigger) => MAY_HELP.includes(trigger));
		return mayTry && this.#worthRetry ? this.#candidate : undefined;
	}

	/** The candidate has been applied. */
	adopt(candidate: ReadWish): void {
		this.#applied = candidate;
		this.#candidate = undefined;
		this.#refused = undefined;
	}

	/** The candidate could not be applied. Throws the error while no configuration has been applied. */
	refuseCandidate(error: unknown): void {
		if (this.#applied === undefined) throw error;
		// If the attempt changed the host and was undone, another attempt would change it again.
		this.#worthRetry = isWithoutChange(error);
		this.#refuse(this.#options.diagnosticsOf(error));
	}

	#refuse(errors: readonly Diagnostic[]): void {
		const isNews = JSON.stringify(errors) !== JSON.stringify(this.#refused);
		this.#refused = errors;
		if (!isNews || this.#applied === undefined) return;
		const { wish, readAt } = this.#applied;
		this.#counts.configurationRefused();
		this.#log.write({
			kind: "configuration-refused",
			configuration: wish.source,
			errors,
			keptSince: readAt,
			keptServices: wish.configuration.services.length,
		});
	}

	#noteRestored({ source, configuration }: Wish): void {
		if (this.#refused === undefined) return;
		this.#refused = undefined;
		const services = configuration.services.length;
		this.#log.write({ kind: "configuration-restored", configuration: source, services });
	}
}

function sameWish(a: Wish, b: Wish): boolean {
	return sameValue([a.configuration, a.director], [b.configuration, b.director]);
}

/** True if the failure left the host untouched. */
function isWithoutChange(error: unknown): boolean {
	for (let cause = error; cause instanceof Error; cause = cause.cause) {
		if (cause instanceof ReconcileError)
			return cause.undoing === undefined || cause.undoing.steps.length === 0;
	}
	return error instanceof L3dsrError;
}
