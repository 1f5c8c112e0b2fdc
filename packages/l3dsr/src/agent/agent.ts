/**
 * The agent's loop: it collects events, waits for the burst to end, runs the reconciler and records the result. All
 * state is in the kernel, so the agent may be killed at any moment.
 */
import { type DiagnosticsOf, L3dsrError } from "../errors.ts";
import type { Keeping } from "../host/hold.ts";
import { observedDirector } from "../inspect/status/observed-director.ts";
import { type StatusRecord, statusOf } from "../inspect/status/status.ts";
import type { ConfiguredHost } from "../reconcile/configured-host.ts";
import type { Plan } from "../reconcile/target.ts";
import type { Environment } from "../sources/dsr-conf.ts";
import type { Wish } from "../sources/wish.ts";
import { Counts } from "./counts.ts";
import { DirectorDuties } from "./director-duties.ts";
import type { AgentEffects, AgentHost, Ears } from "./effects.ts";
import type { Heard } from "./hearing/heard.ts";
import { type Evidence, Keeper, type Run } from "./keeper.ts";
import type { AgentRecord } from "./record.ts";
import { RecordLog } from "./record-log.ts";
import { begun, ended, heard, newSchedule, nextRunAt, type Schedule } from "./schedule.ts";
import type { AgentState, AgentView, Condition, RunSummary } from "./state.ts";

export interface AgentOptions {
	readonly host: AgentHost;
	readonly effects: AgentEffects;
	/** Absolute path of the configuration. */
	readonly configuration: string;
	readonly env: Environment;
	readonly version: string;
	readonly diagnosticsOf: DiagnosticsOf;
	/** Aborting it ends the loop; the reason is the name of the signal. */
	readonly stop: AbortSignal;
}

/** The most events of one burst that are kept as evidence of a cause; the rest are dropped. */
const MOST_EVIDENCE = 100;

export class Agent implements AgentState {
	readonly #options: AgentOptions;
	readonly #log: RecordLog;
	readonly #counts = new Counts();
	readonly #keeper: Keeper;
	/** A director's upkeep; idle on a real server. */
	readonly #duties: DirectorDuties;
	readonly #startedAt: Date;
	#schedule: Schedule;
	#heard = new HeardEvidence();
	#timer: NodeJS.Timeout | undefined;
	/** Sets the timer again; does nothing while a run is in progress. */
	#arm: () => void = () => {};
	#lastRun: RunSummary | undefined;
	#looking: Promise<StatusRecord> | undefined;
	readonly #runListeners = new Set<() => void>();

	constructor(options: AgentOptions) {
		const { effects } = options;
		this.#options = options;
		this.#log = new RecordLog(() => effects.now());
		this.#keeper = new Keeper(options, this.#log, this.#counts);
		this.#duties = new DirectorDuties({
			host: options.host,
			log: this.#log,
			diagnosticsOf: options.diagnosticsOf,
			now: () => effects.monotonicMs(),
		});
		this.#startedAt = effects.now();
		this.#schedule = newSchedule(effects.monotonicMs());
	}

	/**
	 * Applies the configuration to the host and keeps it applied until `stop` is aborted. A run in progress is finished
	 * first. Throws L3dsrError if the first run fails.
	 */
	async run(): Promise<void> {
		const { effects, version, configuration, stop } = this.#options;
		using _keeper = this.#keeper;
		// Listen before the first look, so that no change in between is missed.
		using ears = effects.listen((one) => this.#hear(one));
		await using _duties = this.#duties;
		await this.#runOnce(ears);
		this.#log.write({
			kind: "started",
			version,
			process: process.pid,
			configuration,
			services: this.#keeper.inForce?.wish.configuration.services.length ?? 0,
		});
		this.#tellOfRun();
		await this.#turn(ears);
		this.#log.write({ kind: "stopped", signal: String(stop.reason) });
	}

	/** Runs the reconciler each time it is due, one run at a time. */
	async #turn(ears: Ears): Promise<void> {
		const { stop } = this.#options;
		while (!stop.aborted) {
			await this.#untilDue(stop);
			if (stop.aborted) return;
			await this.#runOnce(ears);
			this.#tellOfRun();
		}
	}

	#tellOfRun(): void {
		this.#duties.follow(this.#keeper.inForce?.wish.director);
		for (const listener of [...this.#runListeners]) listener();
	}

	/** Calls `listener` after each run, when {@link view} has new values, until disposed of. */
	onRun(listener: () => void): Disposable {
		const own = () => listener();
		this.#runListeners.add(own);
		return { [Symbol.dispose]: () => void this.#runListeners.delete(own) };
	}

	/** Waits until the next run is due; an event can make it due earlier. */
	async #untilDue(stop: AbortSignal): Promise<void> {
		const { promise, resolve } = Promise.withResolvers<void>();
		this.#arm = () => {
			clearTimeout(this.#timer);
			this.#timer = setTimeout(resolve, Math.max(0, nextRunAt(this.#schedule) - this.#now()));
		};
		const end = () => resolve();
		stop.addEventListener("abort", end, { once: true });
		this.#arm();
		await promise;
		this.#arm = () => {};
		clearTimeout(this.#timer);
		stop.removeEventListener("abort", end);
	}

	async #runOnce(ears: Ears): Promise<void> {
		const began = this.#now();
		const { schedule, triggers, since } = begun(this.#schedule, began);
		this.#schedule = schedule;
		const run: Run = { triggers, since, evidence: this.#heard.take() };
		const time = this.#options.effects.now().toISOString();
		const outcome = await this.#keeper.run(run, ears);
		const now = this.#now();
		const { contentionMs } = this.#keeper;
		const tookMs = now - began;
		const failed = outcome.kind === "failed";
		const spentMs = tookMs - outcome.waitedMs;
		this.#schedule = ended(this.#schedule, now, { failed, tookMs: spentMs, contentionMs });
		this.#counts.run(outcome.kind);
		this.#lastRun = { time, tookMs, triggers, outcome: outcome.kind };
		if (outcome.kind === "failed") {
			const { errors, failures } = outcome;
			const retryMs = nextRunAt(this.#schedule) - now;
			this.#log.write({ kind: "failed", triggers, errors, failures, retryMs });
		}
	}

	/** SIGHUP: reads all files again and runs at once. */
	reload(): void {
		this.#hear({ trigger: "signal" });
	}

	#hear(one: Heard): void {
		this.#heard.note(one);
		this.#counts.event(one.trigger);
		this.#schedule = heard(this.#schedule, this.#now(), one.trigger);
		this.#arm();
	}

	#now(): number {
		return this.#options.effects.monotonicMs();
	}

	view(): AgentView {
		const { inForce, refused, failure, rightAt } = this.#keeper;
		const { version, configuration } = this.#options;
		const startedAt = this.#startedAt.toISOString();
		return {
			version,
			process: process.pid,
			startedAt,
			condition: this.#condition(),
			configuration: {
				source: configuration,
				services: inForce?.wish.configuration.services.length ?? 0,
				readAt: inForce?.readAt ?? startedAt,
				...(refused === undefined ? {} : { refused }),
			},
			...(this.#lastRun === undefined ? {} : { lastRun: this.#lastRun }),
			...(rightAt === undefined ? {} : { rightAt }),
			...(failure === undefined ? {} : { failure }),
			counts: this.#counts.now,
		};
	}

	#condition(): Condition {
		if (this.#lastRun === undefined) return "starting";
		if (this.#keeper.isHeld) return "held";
		if (this.#keeper.failure !== undefined) return "failing";
		return this.#keeper.isContended ? "contended" : "right";
	}

	wish(): Wish | undefined {
		return this.#keeper.inForce?.wish;
	}

	plan(): Plan<ConfiguredHost> | undefined {
		return this.#keeper.verified;
	}

	async status(): Promise<StatusRecord> {
		this.#looking ??= this.#look().finally(() => {
			this.#looking = undefined;
		});
		return await this.#looking;
	}

	async #look(): Promise<StatusRecord> {
		const wish = this.#keeper.inForce?.wish;
		if (wish === undefined) {
			throw new L3dsrError({
				code: "CONFIG_MISSING",
				message: "read the host: no configuration has been read yet",
				hint: "try again when the agent has started",
			});
		}
		const plan = await this.#keeper.look(wish);
		return statusOf(
			plan,
			wish,
			wish.configuration.datapath,
			this.#keeping(),
			await observedDirector(plan, this.#duties.found()),
		);
	}

	#keeping(): Keeping {
		const { configuration, effects } = this.#options;
		return { agent: { process: process.pid, configuration }, hold: effects.hold() ?? null };
	}

	records(after?: number): readonly AgentRecord[] {
		return this.#log.records(after);
	}

	subscribe(listener: (record: AgentRecord) => void): Disposable {
		return this.#log.subscribe(listener);
	}
}

/** What was heard since the last run, in addition to the triggers. */
class HeardEvidence {
	#heard: Heard[] = [];
	#programs = false;
	#flushed = false;

	note(one: Heard): void {
		const { deed, link, programs, flushed } = one;
		const tells = deed !== undefined || link !== undefined;
		if (tells && this.#heard.length < MOST_EVIDENCE) this.#heard.push(one);
		this.#programs ||= programs === true;
		this.#flushed ||= flushed === true;
	}

	/** Returns the evidence and starts again with none. */
	take(): Evidence {
		const heard = this.#heard;
		const evidence = {
			deeds: heard.flatMap(({ deed }) => deed ?? []),
			links: heard.flatMap(({ link }) => link ?? []),
			programs: this.#programs,
			flushed: this.#flushed,
		};
		this.#heard = [];
		this.#programs = false;
		this.#flushed = false;
		return evidence;
	}
}
