/** Reports a repeated failure once, and once more when it has ended. */
import type { DiagnosticsOf } from "../errors.ts";
import { isLockHeld } from "../host/lock.ts";
import type { RecordLog } from "./record-log.ts";

export class RepeatedFailure {
	readonly #log: Pick<RecordLog, "write">;
	readonly #diagnosticsOf: DiagnosticsOf;
	readonly #now: () => number;
	#reported: { readonly message: string; readonly since: number } | undefined;

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

	report(error: unknown): void {
		const errors = this.#diagnosticsOf(error);
		const message = errors.map((one) => one.message).join("; ");
		if (isLockHeld(error) || message === this.#reported?.message) return;
		this.#reported = { message, since: this.#reported?.since ?? this.#now() };
		this.#log.write({ kind: "upkeep-failed", errors });
	}

	clear(): void {
		if (this.#reported === undefined) return;
		const failingMs = this.#now() - this.#reported.since;
		this.#reported = undefined;
		this.#log.write({ kind: "upkeep-recovered", failingMs });
	}
}
