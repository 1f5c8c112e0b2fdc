/**
 * What the agent does for a director beside repairs: it checks the real servers, ends drains on time, and looks up
 * the next hops again. It writes health into the director's tables, where every command finds it, so the loop sees no
 * drift. The reasons go into records and into a file beside the tables (host/found-checks.ts).
 */
import { foundCheck } from "../balance/checks/found-check.ts";
import type { CheckState, HealthChecks } from "../balance/checks/health-checks.ts";
import type { Director } from "../balance/kernel/director.ts";
import type { DiagnosticsOf } from "../errors.ts";
import { removeFoundChecks, writeFoundChecks } from "../host/found-checks.ts";
import { connects } from "../model/fleet.ts";
import type { FoundCheck } from "../model/real-check.ts";
import type { HostEffects } from "../reconcile/host-effects.ts";
import type { WantedDirector } from "../sources/director.ts";
import { PendingHealth } from "./pending-health.ts";
import type { RecordLog } from "./record-log.ts";
import { RepeatedFailure } from "./repeated-failure.ts";

export interface UpkeepOptions {
	readonly host: Pick<HostEffects, "openDirector" | "lock">;
	readonly log: Pick<RecordLog, "write">;
	readonly diagnosticsOf: DiagnosticsOf;
	/** Monotonic clock, in milliseconds. */
	readonly now: () => number;
}

/** How often next hops and drains are looked at, and changed results are written to the file. */
const LOOK_MS = 1000;
/** How long to wait for another command to release the lock; after that, the next look tries again. */
const LOCK_WAIT_MS = 1000;

export class DirectorUpkeep implements AsyncDisposable {
	readonly #options: UpkeepOptions;
	#followed: WantedDirector | undefined;
	/** What the checks run for; `#followed` may be newer. */
	#wanted: WantedDirector | undefined;
	#checks: HealthChecks | undefined;
	/** Kept open while the director runs, so that a change of health rewrites nothing else. */
	#director: Director | undefined;
	/** The fleet whose drains the director knows. */
	#drainsOf: WantedDirector | undefined;
	#timer: NodeJS.Timeout | undefined;
	readonly #pending = new PendingHealth();
	/** Set if a result differs from the file's. */
	#isUnwritten = false;
	#isQueued = false;
	#turn: Promise<void> = Promise.resolve();
	#ended = false;
	readonly #failureOfChecks: RepeatedFailure;
	readonly #failureOfLooks: RepeatedFailure;

	constructor(options: UpkeepOptions) {
		this.#options = options;
		this.#failureOfChecks = new RepeatedFailure(options);
		this.#failureOfLooks = new RepeatedFailure(options);
	}

	/** Sets what the host should direct from now on; undefined: nothing. */
	follow(wanted: WantedDirector | undefined): void {
		if (wanted === this.#followed || this.#ended) return;
		this.#followed = wanted;
		this.#then(() => this.#begin(wanted));
	}

	/** The results of the checks; undefined if nothing is checked. */
	found(): readonly FoundCheck[] | undefined {
		return this.#checks?.states().map(foundCheck);
	}

	/** Queues work; jobs run one at a time. */
	#then(work: () => Promise<void>): void {
		this.#turn = this.#turn.then(work).catch((error: unknown) => this.#failureOfLooks.report(error));
	}

	async #begin(wanted: WantedDirector | undefined): Promise<void> {
		if (wanted === undefined) return await this.#end();
		this.#checks ??= await this.#newChecks();
		const director = await this.#open(wanted);
		this.#checks.start(wanted.fleet, director.healthInTables(wanted.fleet));
		this.#wanted = wanted;
		this.#isUnwritten = true;
		this.#timer ??= setInterval(() => this.#lookSoon(), LOOK_MS);
	}

	/** Opens the running director once, and tells it once how long the services of a fleet drain. */
	async #open(wanted: WantedDirector): Promise<Director> {
		const known = this.#director;
		const director = known ?? (await this.#options.host.openDirector());
		this.#director = director;
		director.findAgain();
		if (known === undefined || this.#drainsOf !== wanted) {
			director.useDrains(director.wishFor(wanted.fleet, () => "healthy"));
			this.#drainsOf = wanted;
		}
		return director;
	}

	async #newChecks(): Promise<HealthChecks> {
		const { HealthChecks: Checks } = await import("../balance/checks/health-checks.ts");
		return new Checks({
			onProblem: (error) => this.#failureOfChecks.report(error),
			onResult: (state) => this.#note(state),
			onChange: (state, before) => {
				this.#pending.add(state, before);
				this.#lookSoon();
			},
		});
	}

	#note({ type, failures, successes }: CheckState): void {
		if (failures > 0 || successes === 1) this.#isUnwritten = true;
		// These reports are about connecting along the VIP's path, so a result of a connecting check shows that it works
		// again.
		if (connects(type)) this.#failureOfChecks.clear();
	}

	#lookSoon(): void {
		if (this.#isQueued) return;
		this.#isQueued = true;
		this.#then(() => this.#look());
	}

	async #look(): Promise<void> {
		this.#isQueued = false;
		const [wanted, checks] = [this.#wanted, this.#checks];
		if (wanted === undefined || checks === undefined) return;
		const director = await this.#open(wanted);
		// If it is not running, an operator took it down or it is not attached yet; the loop handles both.
		if (director.isRunning) await this.#direct(director, wanted, checks);
		else this.#close();
		this.#write(checks);
		this.#failureOfLooks.clear();
	}

	async #direct(director: Director, wanted: WantedDirector, checks: HealthChecks): Promise<void> {
		// Commands that do not wait for the lock fail while it is held, so take it only if there is work.
		if (this.#pending.isEmpty && !director.needsUpkeep()) return;
		using _lock = await this.#options.host.lock(LOCK_WAIT_MS);
		director.findAgain();
		if (!director.isRunning) return;
		// A result that arrives after this is left for the next look.
		const changes = this.#pending.take();
		const wish = director.wishFor(wanted.fleet, checks.healthOf);
		director.endDrains();
		try {
			if (changes.length > 0) director.apply(wish, wanted.settings);
			director.refreshNextHops();
		} catch (error) {
			this.#pending.putBack(changes);
			throw error;
		}
		if (changes.length > 0) this.#options.log.write({ kind: "health", changes });
	}

	#write(checks: HealthChecks): void {
		if (!this.#isUnwritten) return;
		// Leave out the duration: it differs each time.
		writeFoundChecks(checks.states().map(({ tookMs: _, ...state }) => foundCheck(state)));
		this.#isUnwritten = false;
	}

	#close(): void {
		this.#director?.[Symbol.dispose]();
		this.#director = undefined;
	}

	async #end(): Promise<void> {
		clearInterval(this.#timer);
		this.#timer = undefined;
		this.#wanted = undefined;
		await this.#checks?.[Symbol.asyncDispose]();
		this.#checks = undefined;
		this.#close();
		removeFoundChecks();
	}

	/** Ends the checks; the tables keep the last known health. */
	async [Symbol.asyncDispose](): Promise<void> {
		this.#ended = true;
		await this.#turn;
		await this.#end();
	}
}
