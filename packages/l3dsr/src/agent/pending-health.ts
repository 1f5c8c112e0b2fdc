/** The health changes not yet written to the director's tables. Pure. */

import { failureText } from "../balance/checks/failure.ts";
import type { Health } from "../balance/checks/health.ts";
import type { CheckState } from "../balance/checks/health-checks.ts";
import type { HealthChange } from "./record.ts";

export class PendingHealth {
	#changes: readonly HealthChange[] = [];

	get isEmpty(): boolean {
		return this.#changes.length === 0;
	}

	/** `before`: the previous health. */
	add(state: CheckState, before: Health): void {
		this.#changes = [...this.#changes, healthChange(state, before)];
	}

	take(): readonly HealthChange[] {
		const changes = this.#changes;
		this.#changes = [];
		return changes;
	}

	/** Takes back changes that could not be written to the tables. */
	putBack(changes: readonly HealthChange[]): void {
		this.#changes = [...changes, ...this.#changes];
	}
}

function healthChange(
	{ pool, real, address, vip, port, type, state, failure, since }: CheckState,
	before: Health,
): HealthChange {
	return {
		pool,
		real,
		address: address.text,
		vip: vip.text,
		...(port === undefined ? {} : { port }),
		type,
		healthy: state === "healthy",
		isNew: before.state === "starting",
		...(failure === undefined ? {} : { reason: failureText(failure) }),
		// These times are of the wall clock, which can be set back.
		previousMs: Math.max(0, (state === before.state ? Date.now() : since) - before.since),
	};
}
