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

/** What is known of one real server by one question. Plain data. */
export interface CheckState extends Health {
	/** Names in the fleet. */
	readonly pool: string;
	readonly real: string;
	readonly vip: Address;
	/** Of the real server. */
	readonly address: Address;
	readonly type: CheckType;
	/** Of the VIP; absent for icmp. */
	readonly port?: Port;
	/** Whose health it is. */
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
	 * After a real server has come into another state, or a new one has failed as often as makes others fail; `before`: what
	 * it was until then. What it throws is not caught: it must not throw.
	 */
	readonly onChange?: (state: CheckState, before: Health) => void;
	/** After each result. */
	readonly onResult?: (state: CheckState) => void;
	/** Why this host cannot check at present: KERNEL_*. Tried again every few seconds. */
	readonly onProblem?: (error: unknown) => void;
}

/** Interfaces are looked at again after so long, beside {@link HealthChecks.lookAgain}. */
const LOOK_MS = 10_000;
/** When there is no room for a connection, or this host cannot connect at all. */
const LATER_MS = 50;

/** Of several services with one question. */
const WORST_FIRST: readonly RealHealth[] = ["failing", "starting", "healthy"];

interface Watched {
	target: CheckTarget;
	health: Health;
	failure: CheckFailure | undefined;
	tookMs: number | undefined;
	succeeded: number;
	failed: number;
	/** Set while the next one is waited for. */
	timer: NodeJS.Timeout | undefined;
	/** Questions that have not ended. */
	underWay: number;
	/** When the question started that succeeded last; an older one has nothing to say any more. */
	succeededAt: number;
}

export class HealthChecks implements AsyncDisposable {
	readonly #options: HealthChecksOptions;
	readonly #watched = new Map<string, Watched>();
	/** By healthKey, of every service whose pool has a check. */
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
	 * Checks what this fleet asks for from now on. Of questions that stay the same, results are kept; a real server that was
	 * known before keeps its health with another question. `assumed`: of one that has not been asked yet
	 * (`Director.healthInTables`); by default it is healthy. Throws nothing: see `onProblem`.
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

	/** For `lowerFleet`. Without a check a real server is healthy. */
	readonly healthOf: HealthOf = (service, pool, real) =>
		this.#byService.get(healthKey(service, pool, real))?.health.state ?? "healthy";

	/** What is known, in no particular order. */
	states(): readonly CheckState[] {
		return [...this.#watched.values()].map(stateOf);
	}

	/** What is known of a real server as far as one service is concerned; undefined without a check. */
	stateOf(service: ServiceKey, pool: string, real: string): CheckState | undefined {
		const watched = this.#byService.get(healthKey(service, pool, real));
		return watched === undefined ? undefined : stateOf(watched);
	}

	/** For when interfaces, addresses or routes of this host have changed. */
	lookAgain(): void {
		try {
			if (this.#path === undefined) this.#openPath();
			else this.#path.refresh();
		} catch (error) {
			this.#options.onProblem?.(error);
		}
	}

	/** Ends all checks; nothing of them is left. */
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

	/** Each question has one connection at a time, and hardly ever two. */
	#openPath(): void {
		const needed = [...this.#watched.values()].filter(({ target }) => connects(target.check.type)).length;
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
		// A timer takes a millisecond at least.
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
		// A script may not expect to run twice at a time.
		if (beside !== undefined && check.type !== "exec") this.#askAt(watched, beside);
		const failure = await ask(target, { path, signal });
		const ended = performance.now();
		watched.underWay--;
		if (signal.aborted || this.#watched.get(target.key) !== watched) return;
		if (started >= watched.succeededAt) {
			if (failure === undefined) watched.succeededAt = started;
			this.#enter(watched, failure, ended - started);
		}
		// What was to start beside a failure is not needed after a success.
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

/** The next start, if there is one. */
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
