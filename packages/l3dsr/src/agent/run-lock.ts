/**
 * One run's lock on the host, held from its first change to its end. Looking needs no lock, so commands do not wait
 * for an agent that has nothing to do.
 */
import { isLockHeld } from "../host/lock.ts";
import type { AgentHost, EventMonitor } from "./effects.ts";

/** How long to wait for another command before checking again whether the agent should stop. */
const LOCK_WAIT_MS = 1000;
/** No command changes a host for this long: the one that has the lock hangs, or was stopped. */
const LONG_WAIT_MS = 10_000;

export interface RunLockOptions {
	readonly host: Pick<AgentHost, "lock">;
	/** If it is aborted, the wait for another command ends. */
	readonly stop: Pick<AbortSignal, "aborted">;
	readonly monitor: Pick<EventMonitor, "quietSinceMark">;
	/** True if an operator wants the host left alone. */
	readonly isHeld: () => boolean;
	/**
	 * Called once if the wait for another command gets long, with the error that names it. `againMs`: how often the lock
	 * is tried from then on, in milliseconds.
	 */
	readonly onLongWait: (error: unknown, againMs: number) => void;
	readonly monotonicMs: () => number;
}

/** No change may be made: an operator wants the host left alone, or the agent is stopping. */
export class ChangeForbidden extends Error {}

export class RunLock implements Disposable {
	readonly #options: RunLockOptions;
	#lock: Disposable | undefined;

	constructor(options: RunLockOptions) {
		this.#options = options;
	}

	/**
	 * Called before each change of the run: takes the lock once, and tells whether the host may have changed since it
	 * was looked at. Throws ChangeForbidden.
	 */
	async take(): Promise<"as-found" | "look-again"> {
		if (this.#lock !== undefined) return "as-found";
		const { isHeld, monitor } = this.#options;
		this.#lock = await this.#untilFree();
		if (this.#lock === undefined || isHeld()) throw new ChangeForbidden();
		return monitor.quietSinceMark() ? "as-found" : "look-again";
	}

	/** Undefined if the agent is stopped before the other command releases the lock. */
	async #untilFree(): Promise<Disposable | undefined> {
		const { host, stop, monotonicMs, onLongWait } = this.#options;
		const longAt = monotonicMs() + LONG_WAIT_MS;
		let told = false;
		while (!stop.aborted) {
			try {
				return await host.lock(LOCK_WAIT_MS);
			} catch (error) {
				if (!isLockHeld(error)) throw error;
				if (!told && monotonicMs() >= longAt) {
					told = true;
					onLongWait(error, LOCK_WAIT_MS);
				}
			}
		}
		return undefined;
	}

	[Symbol.dispose](): void {
		this.#lock?.[Symbol.dispose]();
	}
}
