/**
 * What a director needs beside repairs while its agent runs: its real servers are checked, drains end on time, and the ways
 * to the real servers are looked up again. Health goes into the director's tables, where every command finds it, so the
 * loop sees no difference in it.
 */
import type { CheckState, HealthChecks } from "../balance/checks/health-checks.ts";
import { asL3dsrError } from "../errors.ts";
import type { HostEffects } from "../reconcile/host-effects.ts";
import type { WantedDirector } from "../sources/director.ts";

export interface DutiesOptions {
	readonly host: Pick<HostEffects, "openDirector" | "lock">;
	/** Told, a sentence each, who became healthy or unhealthy and why, and what does not work. */
	readonly say: (sentence: string) => void;
}

/** How often ways and drains are looked at. */
const LOOK_MS = 1000;
/** Another command that changes the host is given this long; then the next look tries again. */
const LOCK_WAIT_MS = 1000;

export class DirectorDuties implements AsyncDisposable {
	readonly #options: DutiesOptions;
	#wanted: WantedDirector | undefined;
	#checks: HealthChecks | undefined;
	#timer: NodeJS.Timeout | undefined;
	/** Somebody has become healthy or unhealthy, and the tables do not say so yet. */
	#isNews = false;
	#isQueued = false;
	#turn: Promise<void> = Promise.resolve();
	#ended = false;
	/** What was said last, so that it is not said every second. */
	#problem = "";

	constructor(options: DutiesOptions) {
		this.#options = options;
	}

	/** What the host should direct from now on; undefined: nothing. */
	follow(wanted: WantedDirector | undefined): void {
		if (wanted === this.#wanted || this.#ended) return;
		this.#wanted = wanted;
		this.#then(() => this.#begin());
	}

	/** One thing after the other. */
	#then(work: () => Promise<void>): void {
		this.#turn = this.#turn.then(work).catch((error: unknown) => this.#sayProblem(error));
	}

	async #begin(): Promise<void> {
		const wanted = this.#wanted;
		if (wanted === undefined) return await this.#end();
		this.#checks ??= await this.#newChecks(wanted);
		this.#checks.start(wanted.fleet);
		this.#timer ??= setInterval(() => this.#lookSoon(), LOOK_MS);
	}

	async #newChecks({ fleet }: WantedDirector): Promise<HealthChecks> {
		const { HealthChecks: Checks } = await import("../balance/checks/health-checks.ts");
		const { failureText } = await import("../balance/checks/failure.ts");
		using director = await this.#options.host.openDirector();
		return new Checks({
			assume: director.healthInTables(fleet),
			onProblem: (error) => this.#sayProblem(error),
			onChange: (state) => {
				const why = state.failure === undefined ? "" : `: ${failureText(state.failure)}`;
				this.#options.say(
					`${titleOf(state)} ${state.healthy ? "answers its check again" : `fails its check${why}`}`,
				);
				this.#isNews = true;
				this.#lookSoon();
			},
		});
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
		// A command that does not wait for the lock fails while it is held: so it is taken when there is something to do.
		if (!this.#isNews && !(await this.#needsUpkeep(wanted, checks))) return;
		using _lock = await this.#options.host.lock(LOCK_WAIT_MS);
		using director = await this.#options.host.openDirector();
		// Taken down by an operator, or not attached yet: the loop sees to that.
		if (!director.isRunning) return;
		const wish = director.wishFor(wanted.fleet, checks.isHealthy);
		director.useDrains(wish);
		director.endDrains();
		if (this.#isNews) {
			director.apply(wish, wanted.settings);
			this.#isNews = false;
		}
		director.refreshNextHops();
		this.#problem = "";
	}

	async #needsUpkeep({ fleet }: WantedDirector, { isHealthy }: HealthChecks): Promise<boolean> {
		using director = await this.#options.host.openDirector();
		director.useDrains(director.wishFor(fleet, isHealthy));
		return director.needsUpkeep();
	}

	#sayProblem(error: unknown): void {
		const { code, message } = asL3dsrError(error);
		if (code === "LOCK_HELD" || message === this.#problem) return;
		this.#problem = message;
		this.#options.say(message);
	}

	async #end(): Promise<void> {
		clearInterval(this.#timer);
		this.#timer = undefined;
		await this.#checks?.[Symbol.asyncDispose]();
		this.#checks = undefined;
	}

	/** Ends the checks; what they have found out stays in the tables. */
	async [Symbol.asyncDispose](): Promise<void> {
		this.#ended = true;
		this.#wanted = undefined;
		await this.#turn;
		await this.#end();
	}
}

function titleOf({ pool, real, address, type }: CheckState): string {
	return `${pool}/${real} (${address.text}, ${type})`;
}
