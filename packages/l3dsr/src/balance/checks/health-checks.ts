/**
 * The health checks of a fleet: asks every real server again and again, and knows who is healthy.
 *
 *     await using checks = new HealthChecks({ onChange: (change) => … });
 *     checks.start(fleet);
 *     director.apply(lowerFleet(fleet, checks.healthOf), settings);
 *
 * Nothing blocks: each question is a few system calls and a wait on the event loop.
 */
import type { Address, Port } from "@l3dsr/packet";
import type { HealthOf } from "../../model/director.ts";
import { type CheckType, connects, type Fleet, type RealHealth } from "../../model/fleet.ts";
import { MOST_CONNECTIONS, removeLeftFilters, VipPath } from "../../vip-path/vip-path.ts";
import type { ServiceKey } from "../service.ts";
import { ask } from "./ask.ts";
import type { CheckFailure } from "./failure.ts";
import { afterResult, assume, firstStart, type Health, nextStart, startBeside } from "./health.ts";
import { type CheckTarget, checkTargets, healthKey } from "./targets.ts";

/** What is known about one real server from one question. Plain data. */
export interface CheckState extends Health {
	/** Names in the fleet. */
	readonly pool: string;
	readonly real: string;
	readonly vip: Address;
	/** Address of the real server. */
	readonly address: Address;
	readonly type: CheckType;
	/** Port of the VIP; absent for icmp. */
	readonly port?: Port;
	/** The services whose health this is. */
	readonly services: readonly ServiceKey[];
	/** Why the latest check failed; absent after a success. */
	readonly failure?: CheckFailure;
	/** How long the latest check took, in milliseconds. */
	readonly tookMs?: number;
	/** Since the process began. */
	readonly counts: { readonly succeeded: number; readonly failed: number };
}

export interface HealthChecksOptions {
	/**
	 * Called after a real server has changed state, or after a new one has failed as many times as would make another
	 * one fail; `before`: its previous health. It must not throw: nothing catches what it throws.
	 */
	readonly onChange?: (state: CheckState, before: Health) => void;
	/** Called after each result. */
	readonly onResult?: (state: CheckState) => void;
	/**
	 * Called with the reason why this host cannot check at present (KERNEL_*). The checks try again every few seconds.
	 */
	readonly onProblem?: (error: unknown) => void;
}

/** How often to look at the interfaces again, in addition to {@link HealthChecks.lookAgain}. */
const LOOK_MS = 10_000;
/** How long a check is put off if there is no room for a connection, or if this host cannot connect at all. */
const LATER_MS = 50;

/** If several services share a question, the worst state counts. */
const WORST_FIRST: readonly RealHealth[] = ["failing", "starting", "healthy"];

interface Watched {
	target: CheckTarget;
	health: Health;
	failure: CheckFailure | undefined;
	tookMs: number | undefined;
	succeeded: number;
	failed: number;
	/** Set while the next check is waiting to start. */
	timer: NodeJS.Timeout | undefined;
	/** Checks in progress. */
	underWay: number;
	/** When the latest successful check started; results of older checks are ignored. */
	succeededAt: number;
}

export class HealthChecks implements AsyncDisposable {
	readonly #options: HealthChecksOptions;
	readonly #watched = new Map<string, Watched>();
	/** By healthKey, for every service whose pool has a check. */
	#byService: ReadonlyMap<string, Watched> = new Map();
	#path: VipPath | undefined;
	#room = 0;
	#look: NodeJS.Timeout | undefined;
	readonly #underWay = new Set<Promise<void>>();
	readonly #stopping = new AbortController();

	constructor(options: HealthChecksOptions = {}) {
		this.#options = options;
	}

	/**
	 * Replaces the checks by those of this fleet. Unchanged questions keep their results; a known real server with a
	 * new question keeps its health. `assumed`: the health of a real server that has not been checked yet
	 * (`Director.healthInTables`); default: healthy. Never throws: see `onProblem`.
	 */
	start(fleet: Fleet, assumed: HealthOf = () => "healthy"): void {
		const targets = new Map(checkTargets(fleet).map((target) => [target.key, target]));
		const before = this.#byService;
		for (const [key, { timer }] of this.#watched) {
			if (targets.has(key)) continue;
			clearTimeout(timer);
			this.#watched.delete(key);
		}
		const byService = new Map<string, Watched>();
		const added: Watched[] = [];
		for (const [key, target] of targets) {
			const known = this.#watched.get(key);
			if (known !== undefined) known.target = target;
			const watched = known ?? this.#begin(target, before, assumed);
			if (known === undefined) added.push(watched);
			this.#watched.set(key, watched);
			for (const service of target.services)
				byService.set(healthKey(service, target.pool, target.real), watched);
		}
		this.#byService = byService;
		this.#openPath();
		const now = performance.now();
		for (const watched of added) this.#askAt(watched, firstStart(now, watched.target.check, Math.random()));
	}

	/** For `lowerFleet`. A real server without a check is healthy. */
	readonly healthOf: HealthOf = (service, pool, real) =>
		this.#byService.get(healthKey(service, pool, real))?.health.state ?? "healthy";

	/** All states, in no particular order. */
	states(): readonly CheckState[] {
		return [...this.#watched.values()].map(stateOf);
	}

	/** The state of a real server for one service; undefined if it has no check. */
	stateOf(service: ServiceKey, pool: string, real: string): CheckState | undefined {
		const watched = this.#byService.get(healthKey(service, pool, real));
		return watched === undefined ? undefined : stateOf(watched);
	}

	/** Call this after interfaces, addresses or routes of this host have changed. */
	lookAgain(): void {
		try {
			if (this.#path === undefined) this.#openPath();
			else this.#path.refresh();
		} catch (error) {
			this.#options.onProblem?.(error);
		}
	}

	/** Ends all checks and waits for those in progress. */
	async [Symbol.asyncDispose](): Promise<void> {
		clearInterval(this.#look);
		for (const { timer } of this.#watched.values()) clearTimeout(timer);
		this.#watched.clear();
		this.#stopping.abort();
		await Promise.all(this.#underWay);
		this.#path?.[Symbol.dispose]();
		this.#path = undefined;
	}

	#begin(target: CheckTarget, before: ReadonlyMap<string, Watched>, assumed: HealthOf): Watched {
		const { pool, real, services } = target;
		const states = services.map(
			(service) => before.get(healthKey(service, pool, real))?.health.state ?? assumed(service, pool, real),
		);
		const state = WORST_FIRST.find((one) => states.includes(one)) ?? "healthy";
		return {
			target,
			health: assume(state, Date.now()),
			failure: undefined,
			tookMs: undefined,
			succeeded: 0,
			failed: 0,
			timer: undefined,
			underWay: 0,
			succeededAt: Number.NEGATIVE_INFINITY,
		};
	}

	/** Makes room for the connections: one for each question, or two while its real server is falling. */
	#openPath(): void {
		const asked = [...this.#watched.values()].filter(({ target }) => connects(target.check.type)).length;
		const needed = Math.min(MOST_CONNECTIONS, 2 * asked);
		if (needed === 0 || (this.#path !== undefined && needed <= this.#room)) return;
		const room = Math.min(MOST_CONNECTIONS, 2 ** Math.ceil(Math.log2(Math.max(64, needed))));
		try {
			if (this.#path === undefined) removeLeftFilters();
			const path = VipPath.open({ connections: room });
			this.#path?.retire();
			this.#path = path;
			this.#room = room;
		} catch (error) {
			this.#options.onProblem?.(error);
		}
		this.#look ??= setInterval(() => this.lookAgain(), LOOK_MS);
	}

	#askAt(watched: Watched, at: number): void {
		if (this.#stopping.signal.aborted) return;
		forget(watched);
		const start = () => {
			watched.timer = undefined;
			const asking = this.#ask(watched).finally(() => this.#underWay.delete(asking));
			this.#underWay.add(asking);
		};
		const wait = at - performance.now();
		// A timer takes at least a millisecond.
		if (wait <= 0) start();
		else watched.timer = setTimeout(start, wait);
	}

	async #ask(watched: Watched): Promise<void> {
		const { target } = watched;
		const { check } = target;
		const path = this.#path;
		const started = performance.now();
		if (connects(check.type) && (path === undefined || path.room === 0))
			return this.#askAt(watched, started + LATER_MS);
		const { signal } = this.#stopping;
		watched.underWay++;
		const beside = startBeside(started, watched.underWay, watched.health, check);
		// A script may not expect to run twice at the same time.
		if (beside !== undefined && check.type !== "exec") this.#askAt(watched, beside);
		const failure = await ask(target, { path, signal });
		const ended = performance.now();
		watched.underWay--;
		if (signal.aborted || this.#watched.get(target.key) !== watched) return;
		if (started >= watched.succeededAt) {
			if (failure === undefined) watched.succeededAt = started;
			this.#enter(watched, failure, ended - started);
		}
		// After a success, a check scheduled beside the failed one is not needed.
		if (failure === undefined) forget(watched);
		if (watched.underWay > 0 || watched.timer !== undefined) return;
		const next = nextStart({ started, ended }, watched.health, watched.target.check, Math.random());
		this.#askAt(watched, next);
	}

	#enter(watched: Watched, failure: CheckFailure | undefined, tookMs: number): void {
		const before = watched.health;
		watched.health = afterResult(before, failure === undefined, watched.target.check, Date.now());
		watched.failure = failure;
		watched.tookMs = tookMs;
		if (failure === undefined) watched.succeeded++;
		else watched.failed++;
		const { onResult, onChange } = this.#options;
		if (onResult === undefined && onChange === undefined) return;
		onResult?.(stateOf(watched));
		const { state, failures } = watched.health;
		const isStuck = state === "starting" && failures === watched.target.check.fall;
		if (state !== before.state || isStuck) onChange?.(stateOf(watched), before);
	}
}

/** Cancels the next start, if there is one. */
function forget(watched: Watched): void {
	clearTimeout(watched.timer);
	watched.timer = undefined;
}

function stateOf({ target, health, failure, tookMs, succeeded, failed }: Watched): CheckState {
	const { pool, real, vip, address, check, port, services } = target;
	return {
		...health,
		pool,
		real,
		vip,
		address,
		type: check.type,
		...(port === undefined ? {} : { port }),
		services,
		...(failure === undefined ? {} : { failure }),
		...(tookMs === undefined ? {} : { tookMs }),
		counts: { succeeded, failed },
	};
}
