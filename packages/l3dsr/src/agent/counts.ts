/** What has happened since the process began, as numbers. */
import { CAUSES, type CauseKind, TRIGGERS, type Trigger } from "./record.ts";
import type { AgentCounts, RunSummary } from "./state.ts";

export class Counts {
	readonly #runs = zeros(["settled", "changed", "failed"] as const);
	readonly #repairs = zeros(CAUSES);
	readonly #events = zeros(TRIGGERS);
	#configurationsRefused = 0;

	run(outcome: RunSummary["outcome"]): void {
		this.#runs[outcome]++;
	}

	repair(cause: CauseKind): void {
		this.#repairs[cause]++;
	}

	event(trigger: Trigger): void {
		this.#events[trigger]++;
	}

	configurationRefused(): void {
		this.#configurationsRefused++;
	}

	/** A copy. */
	get now(): AgentCounts {
		return {
			runs: { ...this.#runs },
			repairs: { ...this.#repairs },
			events: { ...this.#events },
			configurationsRefused: this.#configurationsRefused,
		};
	}
}

function zeros<K extends string>(keys: readonly K[]): Record<K, number> {
	return Object.fromEntries(keys.map((key) => [key, 0])) as Record<K, number>; // one entry for each key
}
