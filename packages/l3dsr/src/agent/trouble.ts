/** Reports a repeated failure once, and once more when it has ended. */
import type { DiagnosticsOf } from "../errors.ts";
import { isLockHeld } from "../host/lock.ts";
import type { RecordLog } from "./record-log.ts";

export class Trouble {
	readonly #log: Pick<RecordLog, "write">;
	readonly #diagnosticsOf: DiagnosticsOf;
	readonly #now: () => number;
	#told: { readonly message: string; readonly since: number } | undefined;

	/** `now`: monotonic clock, in milliseconds. */
	constructor({
		log,
		diagnosticsOf,
		now,
	}: {
		readonly log: Pick<RecordLog, "write">;
		readonly diagnosticsOf: DiagnosticsOf;
		readonly now: () => number;
	}) {
		this.#log = log;
		this.#diagnosticsOf = diagnosticsOf;
		this.#now = now;
	}

	tell(error: unknown): void {
		const errors = this.#diagnosticsOf(error);
		const message = errors.map((one) => one.message).join("; ");
		if (isLockHeld(error) || message === this.#told?.message) return;
		this.#told = { message, since: this.#told?.since ?? this.#now() };
		this.#log.write({ kind: "upkeep-failed", errors });
	}

	over(): void {
		if (this.#told === undefined) return;
		const failingMs = this.#now() - this.#told.since;
		this.#told = undefined;
		this.#log.write({ kind: "upkeep-recovered", failingMs });
	}
}
