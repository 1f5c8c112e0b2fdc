/** Something that fails again and again is told once, and once more when it works again. */
import { asL3dsrError } from "../errors.ts";
import type { RecordLog } from "./record-log.ts";

export class Trouble {
	readonly #log: Pick<RecordLog, "write">;
	readonly #now: () => number;
	#told: { readonly message: string; readonly since: number } | undefined;

	/** `now`: milliseconds, never goes back. */
	constructor({ log, now }: { readonly log: Pick<RecordLog, "write">; readonly now: () => number }) {
		this.#log = log;
		this.#now = now;
	}

	tell(error: unknown): void {
		const { code, message, diagnostics } = asL3dsrError(error);
		if (code === "LOCK_HELD" || message === this.#told?.message) return;
		this.#told = { message, since: this.#told?.since ?? this.#now() };
		this.#log.write({ kind: "upkeep-failed", errors: diagnostics });
	}

	over(): void {
		if (this.#told === undefined) return;
		const failingMs = this.#now() - this.#told.since;
		this.#told = undefined;
		this.#log.write({ kind: "upkeep-recovered", failingMs });
	}
}
