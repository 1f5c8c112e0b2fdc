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
import { DirectorUpkeep } from "./director-upkeep.ts";
import type { AgentEffects, AgentHost, EventMonitor } from "./effects.ts";
import type { HostEvent } from "./events/event.ts";
import { type Evidence, Keeper, type Run } from "./keeper.ts";
import type { AgentRecord } from "./record.ts";
import { RecordLog } from "./record-log.ts";
import { finishRun, newSchedule, nextRunAt, noteTrigger, type Schedule, startRun } from "./schedule.ts";
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
	readonly #upkeep: DirectorUpkeep;
	readonly #startedAt: Date;
	#schedule: Schedule;
	#evidence = new EvidenceSinceRun();
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
		this.#upkeep = new DirectorUpkeep({
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
		using monitor = effects.monitor((event) => this.#note(event));
		await using _upkeep = this.#upkeep;
		await this.#runOnce(monitor);
		this.#log.write({
			kind: "started",
			version,
			process: process.pid,
			configuration,
			services: this.#keeper.inForce?.wish.configuration.services.length ?? 0,
		});
		this.#tellOfRun();
		await this.#turn(monitor);
		this.#log.write({ kind: "stopped", signal: String(stop.reason) });
	}

	/** Runs the reconciler each time it is due, one run at a time. */
	async #turn(monitor: EventMonitor): Promise<void> {
		const { stop } = this.#options;
		while (!stop.aborted) {
			await this.#untilDue(stop);
			if (stop.aborted) return;
			await this.#runOnce(monitor);
			this.#tellOfRun();
		}
	}

	#tellOfRun(): void {
		this.#upkeep.follow(this.#keeper.inForce?.wish.director);
		for (const listener of [...this.#runListeners]) listener();
		this.#keeper.keepSpares();
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

	async #runOnce(monitor: EventMonitor): Promise<void> {
		const { effects } = this.#options;
		const began = this.#now();
		const usedBefore = effects.processorMs();
		const { schedule, triggers, since } = startRun(this.#schedule, began);
		this.#schedule = schedule;
		const run: Run = { triggers, since, evidence: this.#evidence.take() };
		const time = effects.now().toISOString();
		const outcome = await this.#keeper.run(run, monitor);
		const now = this.#now();
		const { contentionMs } = this.#keeper;
		const tookMs = now - began;
		const failed = outcome.kind === "failed";
		const usedMs = effects.processorMs() - usedBefore;
		this.#schedule = finishRun(this.#schedule, now, { failed, usedMs, contentionMs });
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
		this.#note({ trigger: "signal" });
	}

	#note(event: HostEvent): void {
		this.#evidence.note(event);
		this.#counts.event(event.trigger);
		this.#schedule = noteTrigger(this.#schedule, this.#now(), event.trigger, {
			atOnce: event.deleted === true,
		});
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
			await observedDirector(plan, this.#upkeep.found()),
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

/** What was reported since the last run, in addition to the triggers. */
class EvidenceSinceRun {
	#events: HostEvent[] = [];
	#programs = false;
	#flushed = false;

	note(event: HostEvent): void {
		const { change, link, programs, flushed } = event;
		const tells = change !== undefined || link !== undefined;
		if (tells && this.#events.length < MOST_EVIDENCE) this.#events.push(event);
		this.#programs ||= programs === true;
		this.#flushed ||= flushed === true;
	}

	/** Returns the evidence and starts again with none. */
	take(): Evidence {
		const events = this.#events;
		const evidence = {
			changes: events.flatMap(({ change }) => change ?? []),
			links: events.flatMap(({ link }) => link ?? []),
			programs: this.#programs,
			flushed: this.#flushed,
		};
		this.#events = [];
		this.#programs = false;
		this.#flushed = false;
		return evidence;
	}
}
