/**
 * One run of the agent: reads what has changed of the files, makes the host what they say, and tells about it. It knows
 * which configuration is in force, and what was wrong at the last run; when to run is the loop's to know (agent.ts).
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
import { causeOf, type Deed } from "./cause.ts";
import { contentionDelay, NO_CONTENTION, noteRepair, peaceSince } from "./contention.ts";
import type { Counts } from "./counts.ts";
import type { AgentEffects, AgentHost, Ears } from "./effects.ts";
import { Grip, LeaveAlone } from "./grip.ts";
import type { FindingRecord, Trigger } from "./record.ts";
import type { RecordLog } from "./record-log.ts";
import { WishSource } from "./wish-source.ts";

export interface KeeperOptions {
	readonly host: AgentHost;
	readonly effects: AgentEffects;
	/** Absolute path of the configuration. */
	readonly configuration: string;
	readonly env: Environment;
	readonly diagnosticsOf: DiagnosticsOf;
	/** Its `aborted` ends the wait for another command. */
	readonly stop: Pick<AbortSignal, "aborted">;
}

/** What a run is for. */
export interface Run {
	readonly triggers: readonly Trigger[];
	/** When the first of them was heard, by the clock that never goes back. */
	readonly since: number;
	readonly evidence: Evidence;
}

/** What was heard beside the triggers. */
export interface Evidence {
	readonly deeds: readonly Deed[];
	/** What became of interfaces, as sentences. */
	readonly links: readonly string[];
	readonly programs: boolean;
	readonly flushed: boolean;
}

export type RunOutcome = {
	/** Of the time that it took: for another command to let go of the host. */
	readonly waitedMs: number;
} & (
	| { readonly kind: "settled" | "changed" }
	/** `failures` in a row. It is told once the next attempt is known. */
	| { readonly kind: "failed"; readonly errors: readonly Diagnostic[]; readonly failures: number }
);

/** What makes the files be looked at. After an event that was lost, anything may have happened. */
const OF_FILES: readonly Trigger[] = ["start", "file", "signal", "minute", "lost", "address"];
/** What may make possible what was refused before anything was changed. */
const MAY_HELP: readonly Trigger[] = ["file", "signal", "link", "address"];

/** How the host is made what a wish says. */
interface Way {
	readonly wish: Wish;
	/** Whether `lo` takes IPv6 addresses, of which the kernel tells nobody. */
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
	/** The host was made so. Undefined until that has been done once. */
	#inForce: InForce | undefined;
	/** Read without an error, and not in force. */
	#candidate: InForce | undefined;
	/** Why what the files say now is not in force. */
	#refused: readonly Diagnostic[] | undefined;
	/** The candidate was refused, and it may be tried again when something has happened that may help. */
	#worthRetry = false;
	#unwatched: readonly string[] = [];
	#held: { readonly since: string; readonly at: number } | undefined;
	#failing:
		| { readonly at: number; readonly failures: number; readonly errors: readonly Diagnostic[] }
		| undefined;
	#contention = NO_CONTENTION;
	#way: Way | undefined;
	readonly #programs = new ProgramMemory();
	#verified: Plan<ConfiguredHost> | undefined;
	#rightAt: string | undefined;

	constructor(options: KeeperOptions, log: RecordLog, counts: Counts) {
		this.#options = options;
		this.#log = log;
		this.#counts = counts;
		this.#source = new WishSource(options.host, options.configuration, options.env);
	}

	/** In force; before the first run has ended well, what was read. */
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

	/** As the host was found, or left, the last time that nothing was left to do. */
	get verified(): Plan<ConfiguredHost> | undefined {
		return this.#verified;
	}

	/** When that was: ISO 8601, UTC. */
	get rightAt(): string | undefined {
		return this.#rightAt;
	}

	/** How long the next repair is put off because something else changes it back; 0: not at all. */
	get contentionMs(): number {
		return contentionDelay(this.#contention, this.#now());
	}

	/** Throws L3dsrError at the first run alone: then there is nothing to keep the host to. */
	async run(run: Run, ears: Ears): Promise<RunOutcome> {
		if (run.triggers.some((trigger) => OF_FILES.includes(trigger))) await this.#readFiles(run, ears);
		ears.mark();
		if (this.#noteHold()) return { kind: "settled", waitedMs: 0 };
		const { host, stop, effects } = this.#options;
		using grip = new Grip({
			host,
			stop,
			ears,
			isHeld: () => this.#noteHold(),
			monotonicMs: () => effects.monotonicMs(),
		});
		const isFirst = this.#inForce === undefined;
		try {
			const changed = (await this.#adoptCandidate(run, grip)) || (await this.#repair(run, grip));
			this.#noteSuccess(ears);
			return { kind: changed ? "changed" : "settled", waitedMs: grip.waitedMs };
		} catch (error) {
			const { waitedMs } = grip;
			if (error instanceof LeaveAlone) return { kind: "settled", waitedMs };
			if (isFirst) throw error;
			return { ...this.#noteFailure(error), waitedMs };
		}
	}

	async #readFiles({ triggers }: Run, ears: Ears): Promise<void> {
		const anew = triggers.includes("signal");
		const reading = await this.#source.read({ anew });
		if (reading.kind === "same") return;
		this.#unwatched = ears.watchFiles(this.#source.paths);
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
			// A reload asks for it again, though nothing is new.
			if (anew) this.#inForce = read;
			this.#noteRestored();
		} else this.#candidate = read;
	}

	/** True: the configuration has changed, and the host is what it says now, whether or not there was something to do. */
	async #adoptCandidate(run: Run, grip: Grip): Promise<boolean> {
		const candidate = this.#candidate;
		if (candidate === undefined) return false;
		const mayTry = this.#refused === undefined || run.triggers.some((trigger) => MAY_HELP.includes(trigger));
		if (!mayTry || !this.#worthRetry) return false;
		try {
			const { steps, warnings, madeAt } = await this.#makeSo(candidate.wish, grip);
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
				tookMs: madeAt - run.since,
				verifiedMs: this.#now() - run.since,
			});
			return steps.length > 0;
		} catch (error) {
			if (error instanceof LeaveAlone) throw error;
			if (this.#inForce === undefined) throw error;
			// Trying again what has changed the host, and was undone, would change it again.
			this.#worthRetry = isWithoutChange(error);
			this.#refuse(this.#options.diagnosticsOf(error));
			return false;
		}
	}

	/** True: something had to be done. */
	async #repair(run: Run, grip: Grip): Promise<boolean> {
		const wish = this.#inForce?.wish;
		if (wish === undefined) return false;
		const { steps, plan, warnings, madeAt } = await this.#makeSo(wish, grip);
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
			deeds: run.evidence.deeds,
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
			tookMs: madeAt - run.since,
			verifiedMs,
		});
		const subjects = drift.map(({ object, problem }) => `${object} ${problem}`);
		const { contention, began } = noteRepair(this.#contention, this.#now(), subjects);
		this.#contention = contention;
		if (began !== undefined) this.#log.write({ kind: "contention", cause, ...began });
		return true;
	}

	/** Throws L3dsrError, with what was undone in its notes. */
	async #makeSo(
		wish: Wish,
		grip: Grip,
	): Promise<{
		readonly plan: Plan<ConfiguredHost> | undefined;
		readonly steps: Plan["steps"];
		readonly warnings: readonly string[];
		/** When the last step had been made; where there was nothing to do, when that was known. */
		readonly madeAt: number;
	}> {
		const { host } = this.#options;
		const { datapath, target } = await this.#wayOf(wish);
		let madeAt: number | undefined;
		const plans = await explaining(() =>
			reconcile(host, datapath, [target], {
				beforeChange: () => grip.take(),
				onStep: () => {},
				onApplied: () => {
					madeAt = this.#now();
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
			madeAt: madeAt ?? this.#now(),
		};
	}

	/** The host as it is now, and what would be done. Changes nothing. */
	async look(wish: Wish): Promise<Plan<ConfiguredHost>> {
		const { datapath, target } = await this.#wayOf(wish);
		return await planHost(this.#options.host, datapath, target);
	}

	/** The same for the same wish, because both remember what they have seen of the host. */
	async #wayOf(wish: Wish): Promise<Way> {
		const { host, env } = this.#options;
		const ipv6 = host.hasIpv6();
		if (this.#way?.wish !== wish || this.#way.ipv6 !== ipv6) {
			const target = refusingSilence(
				configuredTarget(host, wish.configuration, () => servicesElsewhere(host, env), wish.director),
			);
			this.#programs.forgetDetached();
			this.#way = {
				wish,
				ipv6,
				datapath: await host.openDatapath(wish.configuration, this.#programs),
				target: { ...target, memory: new PlanMemory() },
			};
		}
		return this.#way;
	}

	[Symbol.dispose](): void {
		this.#programs[Symbol.dispose]();
	}

	/** True: an operator has taken the services down, and they are to stay so. Said under the lock, and so asked once more there. */
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

	#noteSuccess(ears: Ears): void {
		const failing = this.#failing;
		this.#failing = undefined;
		this.#rightAt = this.#time();
		if (failing !== undefined) {
			const { failures, at } = failing;
			this.#log.write({ kind: "recovered", failures, failingMs: this.#now() - at });
		}
		const quietMs = peaceSince(this.#contention, this.#now());
		if (quietMs !== undefined) {
			this.#contention = NO_CONTENTION;
			this.#log.write({ kind: "contention-over", quietMs });
		}
		const ofEbpf = this.#verified?.assignment.rules.filter(({ datapath }) => datapath === "ebpf") ?? [];
		ears.watchPrograms(new Set(ofEbpf.flatMap(({ entry }) => entry.rule.header.inInterface?.name ?? [])));
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

/** Whatever failed, the host was not touched. */
function isWithoutChange(error: unknown): boolean {
	for (let cause = error; cause instanceof Error; cause = cause.cause) {
		if (cause instanceof ReconcileError)
			return cause.undoing === undefined || cause.undoing.steps.length === 0;
	}
	return error instanceof L3dsrError;
}
