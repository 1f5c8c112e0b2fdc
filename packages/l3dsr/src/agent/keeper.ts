/**
 * One run of the agent: reads the files that changed, applies them to the host, and records what it did. The keeper
 * knows which configuration is in force and what went wrong last time; the loop (agent.ts) decides when to run.
 */
import { type Diagnostic, type DiagnosticsOf, L3dsrError } from "../errors.ts";
import { stepRecord } from "../inspect/describe-step.ts";
import { explaining } from "../inspect/failure-text.ts";
import { sameValue } from "../model/rule.ts";
import { driftOf } from "../plan/drift.ts";
import {
	absentTexts,
	type ConfiguredHost,
	configuredTarget,
	refusingSilence,
} from "../reconcile/configured-host.ts";
import { ReconcileError } from "../reconcile/failure.ts";
import { PlanMemory } from "../reconcile/plan-memory.ts";
import { planHost, reconcile } from "../reconcile/reconcile.ts";
import type { Plan, Target } from "../reconcile/target.ts";
import { ProgramMemory } from "../rewrite/ebpf/kernel/program-memory.ts";
import type { HostDatapath } from "../rewrite/host-datapath.ts";
import { servicesElsewhere } from "../sources/configuration.ts";
import type { Environment } from "../sources/dsr-conf.ts";
import type { Wish } from "../sources/wish.ts";
import { causeOf, type ReportedChange } from "./cause.ts";
import { contentionDelay, contestable, NO_CONTENTION, noteRepair, quietSince } from "./contention.ts";
import type { Counts } from "./counts.ts";
import type { AgentEffects, AgentHost, EventMonitor } from "./effects.ts";
import type { FindingRecord, Trigger } from "./record.ts";
import type { RecordLog } from "./record-log.ts";
import { ChangeForbidden, RunLock } from "./run-lock.ts";
import { WishSource } from "./wish-source.ts";

export interface KeeperOptions {
	readonly host: AgentHost;
	readonly effects: AgentEffects;
	/** Absolute path of the configuration. */
	readonly configuration: string;
	readonly env: Environment;
	readonly diagnosticsOf: DiagnosticsOf;
	/** If it is aborted, the wait for another command ends. */
	readonly stop: Pick<AbortSignal, "aborted">;
}

/** Why a run is made. */
export interface Run {
	readonly triggers: readonly Trigger[];
	/** When the first trigger was reported, by the monotonic clock. */
	readonly since: number;
	readonly evidence: Evidence;
}

/** What was reported in addition to the triggers. */
export interface Evidence {
	readonly changes: readonly ReportedChange[];
	/** Interfaces that were created, deleted or renamed, as sentences. */
	readonly links: readonly string[];
	readonly programs: boolean;
	readonly flushed: boolean;
}

export type RunOutcome = {
	/** The part of the run's time spent waiting for another command to release the host, in ms. */
	readonly waitedMs: number;
} & (
	| { readonly kind: "settled" | "changed" }
	/**
	 * `failures`: how many runs in a row have failed. The loop writes the record, because it knows when the next
	 * attempt is.
	 */
	| { readonly kind: "failed"; readonly errors: readonly Diagnostic[]; readonly failures: number }
);

/** Triggers after which the files are read. After a lost event anything may have changed. */
const OF_FILES: readonly Trigger[] = ["start", "file", "signal", "minute", "lost", "address"];
/** Triggers after which a configuration that was refused before any change may succeed. */
const MAY_HELP: readonly Trigger[] = ["file", "signal", "link", "address"];

/** The datapath and target for one wish. */
interface Prepared {
	readonly wish: Wish;
	/** Whether `lo` takes IPv6 addresses; the kernel reports no event for that. */
	readonly ipv6: boolean;
	readonly datapath: HostDatapath;
	readonly target: Target<ConfiguredHost>;
}

export interface InForce {
	readonly wish: Wish;
	/** ISO 8601, UTC. */
	readonly readAt: string;
}

export class Keeper implements Disposable {
	readonly #options: KeeperOptions;
	readonly #log: RecordLog;
	readonly #counts: Counts;
	readonly #source: WishSource;
	/** The configuration last applied to the host. Undefined before the first success. */
	#inForce: InForce | undefined;
	/** A configuration that was read without an error but is not in force yet. */
	#candidate: InForce | undefined;
	/** Why the files' current content is not in force. */
	#refused: readonly Diagnostic[] | undefined;
	/** Whether the refused candidate may be tried again after an event that may help. */
	#worthRetry = false;
	#unwatched: readonly string[] = [];
	#held: { readonly since: string; readonly at: number } | undefined;
	#failing:
		| { readonly at: number; readonly failures: number; readonly errors: readonly Diagnostic[] }
		| undefined;
	#contention = NO_CONTENTION;
	#prepared: Prepared | undefined;
	readonly #programs = new ProgramMemory();
	#verified: Plan<ConfiguredHost> | undefined;
	#rightAt: string | undefined;

	constructor(options: KeeperOptions, log: RecordLog, counts: Counts) {
		this.#options = options;
		this.#log = log;
		this.#counts = counts;
		this.#source = new WishSource(options.host, options.configuration, options.env);
	}

	/** The configuration in force; before the first success, the one that was read. */
	get inForce(): InForce | undefined {
		return this.#inForce ?? this.#candidate;
	}

	get refused(): readonly Diagnostic[] | undefined {
		return this.#refused;
	}

	get failure(): readonly Diagnostic[] | undefined {
		return this.#failing?.errors;
	}

	get isHeld(): boolean {
		return this.#held !== undefined;
	}

	get isContended(): boolean {
		return this.#contention.contest !== undefined;
	}

	/** The last plan that left nothing to do. */
	get verified(): Plan<ConfiguredHost> | undefined {
		return this.#verified;
	}

	/** When the host was last verified: ISO 8601, UTC. */
	get rightAt(): string | undefined {
		return this.#rightAt;
	}

	/** How long the next repair is put off because of contention, in ms; 0: not at all. */
	get contentionMs(): number {
		return contentionDelay(this.#contention, this.#now());
	}

	/** Throws L3dsrError only on the first run, when there is no configuration in force to keep. */
	async run(run: Run, monitor: EventMonitor): Promise<RunOutcome> {
		if (run.triggers.some((trigger) => OF_FILES.includes(trigger))) await this.#readFiles(run, monitor);
		monitor.mark();
		if (this.#noteHold()) return { kind: "settled", waitedMs: 0 };
		const { host, stop, effects } = this.#options;
		using lock = new RunLock({
			host,
			stop,
			monitor,
			isHeld: () => this.#noteHold(),
			monotonicMs: () => effects.monotonicMs(),
		});
		const isFirst = this.#inForce === undefined;
		try {
			const changed = (await this.#adoptCandidate(run, lock)) || (await this.#repair(run, lock));
			this.#noteSuccess(monitor);
			return { kind: changed ? "changed" : "settled", waitedMs: lock.waitedMs };
		} catch (error) {
			const { waitedMs } = lock;
			if (error instanceof ChangeForbidden) return { kind: "settled", waitedMs };
			if (isFirst) throw error;
			return { ...this.#noteFailure(error), waitedMs };
		}
	}

	async #readFiles({ triggers }: Run, monitor: EventMonitor): Promise<void> {
		const anew = triggers.includes("signal");
		const reading = await this.#source.read({ anew });
		if (reading.kind === "same") return;
		this.#unwatched = monitor.watchFiles(this.#source.paths);
		if (reading.kind === "refused") {
			if (this.#inForce === undefined) throw reading.error;
			this.#candidate = undefined;
			this.#refuse(this.#options.diagnosticsOf(reading.error));
			return;
		}
		const read = { wish: reading.wish, readAt: this.#time() };
		this.#worthRetry = true;
		if (this.#inForce !== undefined && sameWish(read.wish, this.#inForce.wish)) {
			this.#candidate = undefined;
			// After a reload the configuration counts as read anew, even if it is the same.
			if (anew) this.#inForce = read;
			this.#noteRestored();
		} else this.#candidate = read;
	}

	/** True if a new configuration was put into force with at least one step. */
	async #adoptCandidate(run: Run, lock: RunLock): Promise<boolean> {
		const candidate = this.#candidate;
		if (candidate === undefined) return false;
		const mayTry = this.#refused === undefined || run.triggers.some((trigger) => MAY_HELP.includes(trigger));
		if (!mayTry || !this.#worthRetry) return false;
		try {
			const { steps, warnings, appliedAt } = await this.#apply(candidate.wish, lock);
			this.#inForce = candidate;
			this.#candidate = undefined;
			this.#refused = undefined;
			this.#log.write({
				kind: "configured",
				triggers: run.triggers,
				configuration: candidate.wish.source,
				services: candidate.wish.configuration.services.length,
				steps: steps.map(stepRecord),
				warnings,
				tookMs: appliedAt - run.since,
				verifiedMs: this.#now() - run.since,
			});
			return steps.length > 0;
		} catch (error) {
			if (error instanceof ChangeForbidden) throw error;
			if (this.#inForce === undefined) throw error;
			// If the attempt changed the host and was undone, another attempt would change it again.
			this.#worthRetry = isWithoutChange(error);
			this.#refuse(this.#options.diagnosticsOf(error));
			return false;
		}
	}

	/** True if the host needed a repair. */
	async #repair(run: Run, lock: RunLock): Promise<boolean> {
		const wish = this.#inForce?.wish;
		if (wish === undefined) return false;
		const { steps, plan, warnings, appliedAt } = await this.#apply(wish, lock);
		const verifiedMs = this.#now() - run.since;
		if (steps.length === 0 || plan === undefined) return false;
		const { effects } = this.#options;
		const { observed, state, desired } = plan;
		const drift = driftOf(state, {
			steps,
			services: wish.configuration.services,
			stopped: desired.stopped,
		});
		const cause = causeOf({
			observed,
			drift,
			flushed: run.evidence.flushed,
			programGone: run.evidence.programs,
			links: run.evidence.links,
			changes: run.evidence.changes,
			running: () => effects.runningPrograms(),
		});
		this.#counts.repair(cause.kind);
		this.#log.write({
			kind: "repaired",
			triggers: run.triggers,
			cause,
			drift: drift.map(findingRecord),
			steps: steps.map(stepRecord),
			warnings,
			tookMs: appliedAt - run.since,
			verifiedMs,
		});
		const { contention, began } = noteRepair(this.#contention, this.#now(), contestable(drift));
		this.#contention = contention;
		if (began !== undefined) this.#log.write({ kind: "contention", cause, ...began });
		return true;
	}

	/** Throws L3dsrError whose notes say what was undone. */
	async #apply(
		wish: Wish,
		lock: RunLock,
	): Promise<{
		readonly plan: Plan<ConfiguredHost> | undefined;
		readonly steps: Plan["steps"];
		readonly warnings: readonly string[];
		/** When the last step was finished; if there were no steps, when that was known. */
		readonly appliedAt: number;
	}> {
		const { host } = this.#options;
		const { datapath, target } = await this.#prepare(wish);
		let appliedAt: number | undefined;
		const plans = await explaining(() =>
			reconcile(host, datapath, [target], {
				beforeChange: () => lock.take(),
				onStep: () => {},
				onApplied: () => {
					appliedAt = this.#now();
				},
				onVerified: (plan) => {
					this.#verified = plan;
				},
			}),
		);
		const [plan] = plans;
		return {
			plan,
			steps: plan?.steps ?? [],
			warnings: plan === undefined ? [] : [...warningsOf(plan), ...this.#unwatched],
			appliedAt: appliedAt ?? this.#now(),
		};
	}

	/** Plans against the host as it is now. Changes nothing. */
	async look(wish: Wish): Promise<Plan<ConfiguredHost>> {
		const { datapath, target } = await this.#prepare(wish);
		return await planHost(this.#options.host, datapath, target);
	}

	/** Returns the same objects for the same wish, because they remember what they saw of the host. */
	async #prepare(wish: Wish): Promise<Prepared> {
		const { host, env } = this.#options;
		const ipv6 = host.hasIpv6();
		if (this.#prepared?.wish !== wish || this.#prepared.ipv6 !== ipv6) {
			const target = refusingSilence(
				configuredTarget(host, wish.configuration, () => servicesElsewhere(host, env), wish.director),
			);
			this.#programs.forgetDetached();
			this.#prepared = {
				wish,
				ipv6,
				datapath: await host.openDatapath(wish.configuration, this.#programs),
				target: { ...target, memory: new PlanMemory() },
			};
		}
		return this.#prepared;
	}

	[Symbol.dispose](): void {
		this.#programs[Symbol.dispose]();
	}

	/**
	 * True if an operator took the services down and has not brought them back. The hold is written under the lock, so
	 * ask again once the lock is held.
	 */
	#noteHold(): boolean {
		const hold = this.#options.effects.hold();
		if (hold === undefined) {
			if (this.#held !== undefined)
				this.#log.write({ kind: "released", heldMs: this.#now() - this.#held.at });
			this.#held = undefined;
			return false;
		}
		if (this.#held?.since !== hold.since) {
			this.#held = { since: hold.since, at: this.#now() };
			this.#log.write({ kind: "held", since: hold.since, by: hold.by });
		}
		return true;
	}

	#noteSuccess(monitor: EventMonitor): void {
		const failing = this.#failing;
		this.#failing = undefined;
		this.#rightAt = this.#time();
		if (failing !== undefined) {
			const { failures, at } = failing;
			this.#log.write({ kind: "recovered", failures, failingMs: this.#now() - at });
		}
		const quietMs = quietSince(this.#contention, this.#now());
		if (quietMs !== undefined) {
			this.#contention = NO_CONTENTION;
			this.#log.write({ kind: "contention-over", quietMs });
		}
		monitor.watchPrograms(this.#interfacesWithPrograms());
	}

	/** The interfaces where programs may be at tcx. */
	#interfacesWithPrograms(): ReadonlySet<string> {
		const ofEbpf = this.#verified?.assignment.rules.filter(({ datapath }) => datapath === "ebpf") ?? [];
		const director = this.#inForce?.wish.director?.settings;
		return new Set([
			...ofEbpf.flatMap(({ entry }) => entry.rule.header.inInterface?.name ?? []),
			...(director?.hook === "tc" ? director.interfaces : []),
		]);
	}

	#noteFailure(error: unknown): { kind: "failed"; errors: readonly Diagnostic[]; failures: number } {
		const errors = this.#options.diagnosticsOf(error);
		const failures = (this.#failing?.failures ?? 0) + 1;
		this.#failing = { at: this.#failing?.at ?? this.#now(), failures, errors };
		return { kind: "failed", errors, failures };
	}

	#refuse(errors: readonly Diagnostic[]): void {
		const isNews = JSON.stringify(errors) !== JSON.stringify(this.#refused);
		this.#refused = errors;
		if (!isNews || this.#inForce === undefined) return;
		const { wish, readAt } = this.#inForce;
		this.#counts.configurationRefused();
		this.#log.write({
			kind: "configuration-refused",
			configuration: wish.source,
			errors,
			keptSince: readAt,
			keptServices: wish.configuration.services.length,
		});
	}

	#noteRestored(): void {
		if (this.#refused === undefined || this.#inForce === undefined) return;
		this.#refused = undefined;
		const { source, configuration } = this.#inForce.wish;
		const services = configuration.services.length;
		this.#log.write({ kind: "configuration-restored", configuration: source, services });
	}

	#now(): number {
		return this.#options.effects.monotonicMs();
	}

	#time(): string {
		return this.#options.effects.now().toISOString();
	}
}

function warningsOf({ desired }: Plan<ConfiguredHost>): string[] {
	return [
		...absentTexts(desired),
		...desired.stopped.map(
			({ service, reason }) => `${service.name} (${service.vip.text}) is stopped: ${reason}`,
		),
	];
}

function findingRecord({ kind, object, problem }: FindingRecord): FindingRecord {
	return { kind, object, problem };
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
