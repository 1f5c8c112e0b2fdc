/**
 * One run of the agent: reads the files that changed, applies them to the host, and records what it did. The keeper
 * knows which configuration is in force and what went wrong last time; the loop (agent.ts) decides when to run.
 */
import { type Diagnostic, type DiagnosticsOf, L3dsrError } from "../errors.ts";
import { stepRecord } from "../inspect/describe-step.ts";
import { explaining } from "../inspect/failure-text.ts";
import { driftOf } from "../plan/drift.ts";
import {
	absentTexts,
	type ConfiguredHost,
	configuredTarget,
	refusingSilence,
} from "../reconcile/configured-host.ts";
import { PlanMemory } from "../reconcile/plan-memory.ts";
import { planHost, reconcile } from "../reconcile/reconcile.ts";
import type { Restored } from "../reconcile/spare-tables.ts";
import type { Plan, Target } from "../reconcile/target.ts";
import { ProgramMemory } from "../rewrite/ebpf/kernel/program-memory.ts";
import type { HostDatapath } from "../rewrite/host-datapath.ts";
import { servicesElsewhere } from "../sources/configuration.ts";
import type { Environment } from "../sources/dsr-conf.ts";
import type { Wish } from "../sources/wish.ts";
import { causeOf, type LinkEvent, type ReportedChange } from "./cause.ts";
import { ConfigurationInForce, type ReadWish } from "./configuration-in-force.ts";
import { contentionDelay, contestable, NO_CONTENTION, noteRepair, quietSince } from "./contention.ts";
import type { Counts } from "./counts.ts";
import type { AgentEffects, AgentHost, EventMonitor } from "./effects.ts";
import type { FindingRecord, Trigger } from "./record.ts";
import type { RecordLog } from "./record-log.ts";
import { ChangeForbidden, RunLock } from "./run-lock.ts";

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
	readonly links: readonly LinkEvent[];
	readonly programs: boolean;
	readonly flushed: boolean;
}

export type RunOutcome =
	| { readonly kind: "settled" | "changed" }
	/**
	 * `failures`: how many runs in a row have failed. The loop writes the record, because it knows when the next
	 * attempt is.
	 */
	| { readonly kind: "failed"; readonly errors: readonly Diagnostic[]; readonly failures: number };

/** The datapath and target for one wish. */
interface Prepared {
	readonly wish: Wish;
	/** Whether `lo` takes IPv6 addresses; the kernel reports no event for that. */
	readonly ipv6: boolean;
	readonly datapath: HostDatapath;
	readonly target: Target<ConfiguredHost>;
}

export class Keeper implements Disposable {
	readonly #options: KeeperOptions;
	readonly #log: RecordLog;
	readonly #counts: Counts;
	readonly #configuration: ConfigurationInForce;
	#held: { readonly since: string; readonly at: number } | undefined;
	#failing:
		| { readonly at: number; readonly failures: number; readonly errors: readonly Diagnostic[] }
		| undefined;
	#contention = NO_CONTENTION;
	#prepared: Prepared | undefined;
	readonly #programs = new ProgramMemory();
	#verified: Plan<ConfiguredHost> | undefined;
	/** Tables that were sent at once, when, and in which run; until a record tells. */
	#restored: readonly (Restored & { readonly at: number; readonly run: Run })[] = [];
	#rightAt: string | undefined;

	constructor(options: KeeperOptions, log: RecordLog, counts: Counts) {
		this.#options = options;
		this.#log = log;
		this.#counts = counts;
		this.#configuration = new ConfigurationInForce(options, log, counts);
	}

	/** The configuration in force; before the first success, the one that was read. */
	get inForce(): ReadWish | undefined {
		return this.#configuration.applied ?? this.#configuration.candidate;
	}

	get refused(): readonly Diagnostic[] | undefined {
		return this.#configuration.refused;
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
		await this.#configuration.read(run.triggers, monitor);
		monitor.mark();
		if (this.#noteHold()) return { kind: "settled" };
		const { host, stop, effects } = this.#options;
		using lock = new RunLock({
			host,
			stop,
			monitor,
			isHeld: () => this.#noteHold(),
			onLongWait: (cause, retryMs) => {
				const { errors, failures } = this.#noteFailure(longWait(cause));
				this.#log.write({ kind: "failed", triggers: run.triggers, errors, failures, retryMs });
			},
			monotonicMs: () => effects.monotonicMs(),
		});
		const isFirst = this.#configuration.applied === undefined;
		try {
			const changed = (await this.#adoptCandidate(run, lock)) ?? (await this.#repair(run, lock));
			this.#noteSuccess(monitor);
			return { kind: changed ? "changed" : "settled" };
		} catch (error) {
			if (error instanceof ChangeForbidden) return { kind: "settled" };
			if (isFirst) throw error;
			return this.#noteFailure(error);
		}
	}

	/** Whether the host needed a step for a new configuration. Undefined if none was put into force. */
	async #adoptCandidate(run: Run, lock: RunLock): Promise<boolean | undefined> {
		const candidate = this.#configuration.candidateFor(run.triggers);
		if (candidate === undefined) return undefined;
		try {
			const { steps, warnings, appliedAt } = await this.#apply(candidate.wish, lock);
			this.#configuration.adopt(candidate);
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
			this.#configuration.refuseCandidate(error);
			return undefined;
		}
	}

	/** True if the host needed a repair. */
	async #repair(run: Run, lock: RunLock): Promise<boolean> {
		const wish = this.#configuration.applied?.wish;
		if (wish === undefined) return false;
		if (run.triggers.includes("ruleset")) await this.#restoreTables(run, lock);
		const stoppedBefore = this.#verified?.desired.stopped.length ?? 0;
		const applied = await this.#apply(wish, lock);
		const verifiedAt = this.#now();
		const { plan, warnings } = applied;
		if (plan === undefined) return false;
		const { observed, state, desired } = plan;
		const made = { state, steps: applied.steps, at: applied.appliedAt };
		const done = [...this.#restored, ...(made.steps.length === 0 ? [] : [made])];
		const last = done.at(-1);
		if (last === undefined) return false;
		const { since, triggers, evidence } = this.#restored[0]?.run ?? run;
		this.#restored = [];
		const { effects } = this.#options;
		const purpose = { services: wish.configuration.services, stopped: desired.stopped };
		const drift = done.flatMap((one) => driftOf(one.state, { ...purpose, steps: one.steps }));
		const cause = causeOf({
			observed,
			drift,
			resumed: desired.stopped.length < stoppedBefore,
			flushed: evidence.flushed,
			programGone: evidence.programs,
			links: evidence.links,
			changes: evidence.changes,
			running: () => effects.runningPrograms(),
		});
		this.#counts.repair(cause.kind);
		this.#log.write({
			kind: "repaired",
			triggers,
			cause,
			drift: drift.map(findingRecord),
			steps: done.flatMap((one) => one.steps.map(stepRecord)),
			warnings,
			tookMs: last.at - since,
			verifiedMs: verifiedAt - since,
		});
		const { contention, began } = noteRepair(this.#contention, this.#now(), contestable(drift));
		this.#contention = contention;
		if (began !== undefined) this.#log.write({ kind: "contention", cause, ...began });
		return true;
	}

	/** Sends tables that are missing at once; whatever else is wrong is planned afterwards. Throws ChangeForbidden. */
	async #restoreTables(run: Run, lock: RunLock): Promise<void> {
		const { spare } = this.#options.host;
		if (!spare.isMissing()) return;
		await lock.take();
		const restored = spare.restore();
		if (restored !== undefined) this.#restored = [...this.#restored, { ...restored, at: this.#now(), run }];
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
			warnings: plan === undefined ? [] : [...warningsOf(plan), ...this.#configuration.unwatched],
			appliedAt: appliedAt ?? this.#now(),
		};
	}

	/** Prepares for the next fault, between two runs. */
	keepSpares(): void {
		if (this.#verified !== undefined) this.#options.host.spare.keep(this.#verified);
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
		const director = this.#configuration.applied?.wish.director?.settings;
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

	#now(): number {
		return this.#options.effects.monotonicMs();
	}

	#time(): string {
		return this.#options.effects.now().toISOString();
	}
}

function longWait(cause: unknown): L3dsrError {
	const message = `change this host: ${cause instanceof Error ? cause.message : String(cause)}`;
	const hint =
		"look at what that process does, and end it if it hangs: the agent continues as soon as it has ended";
	return new L3dsrError({ code: "LOCK_HELD", message, hint }, { cause });
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
