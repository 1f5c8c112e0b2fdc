/**
 * The host in the hands of one run, from its first change to its end. Looking does without the lock, so that commands need
 * not wait for an agent that has nothing to do.
 */
import { isLockHeld } from "../host/lock.ts";
import type { AgentHost, Ears } from "./effects.ts";

/** How long each wait for another command lasts, before it is seen whether the agent is to end. */
const LOCK_WAIT_MS = 1000;

export interface GripOptions {
	readonly host: Pick<AgentHost, "lock">;
	/** Its `aborted` ends the wait for another command. */
	readonly stop: Pick<AbortSignal, "aborted">;
	readonly ears: Pick<Ears, "quietSinceMark">;
	/** An operator wants the host left alone. */
	readonly isHeld: () => boolean;
	readonly monotonicMs: () => number;
}

/** Nothing is to be changed after all: an operator wants the host left alone, or the agent is to end. */
export class LeaveAlone extends Error {}

export class Grip implements Disposable {
	readonly #options: GripOptions;
	#lock: Disposable | undefined;
	#waitedMs = 0;

	constructor(options: GripOptions) {
		this.#options = options;
	}

	/** For another command to let go of the host. */
	get waitedMs(): number {
		return this.#waitedMs;
	}

	/** Before each change of the run: is the host still as it was found before the first? Throws LeaveAlone. */
	async take(): Promise<"as-found" | "look-again"> {
		if (this.#lock !== undefined) return "as-found";
		const { monotonicMs, isHeld, ears } = this.#options;
		const asked = monotonicMs();
		this.#lock = await this.#untilFree();
		this.#waitedMs = monotonicMs() - asked;
		if (this.#lock === undefined || isHeld()) throw new LeaveAlone();
		return ears.quietSinceMark() ? "as-found" : "look-again";
	}

	/** Undefined: the agent is to end before another command has let go. */
	async #untilFree(): Promise<Disposable | undefined> {
		const { host, stop } = this.#options;
		while (!stop.aborted) {
			try {
				return await host.lock(LOCK_WAIT_MS);
			} catch (error) {
				if (!isLockHeld(error)) throw error;
			}
		}
		return undefined;
	}

	[Symbol.dispose](): void {
		this.#lock?.[Symbol.dispose]();
	}
}
