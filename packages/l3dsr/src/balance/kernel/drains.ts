/** How long each service drains, and whose drain is over. */
import { type BalanceWish, keyText } from "../service.ts";
import type { StandingPlace } from "../tables/state.ts";
import { isInTransition } from "../transition.ts";
import { currentTick, ticksBetween, ticksOf } from "./clock.ts";
import type { SharedTables } from "./shared-tables.ts";

export class Drains {
	/** Of each service, by its key, as it was applied last: in ticks. */
	readonly #lengths = new Map<string, number>();
	/**
	 * Of tables: rings without a slot in transition, and when each was changed last. As long as that is the same, their
	 * 65,537 slots need not be looked at again: with a thousand services an agent would do nothing else.
	 */
	readonly #quiet = new WeakMap<SharedTables, Map<number, number>>();

	use({ services }: Pick<BalanceWish, "services">): void {
		for (const service of services) this.#lengths.set(keyText(service), ticksOf(service.drainMs));
	}

	/** Those in transition whose drain is over; none of which it is not known how long they drain. */
	over(tables: SharedTables, now: number): readonly StandingPlace[] {
		return tables.places().filter((service) => {
			const length = this.#lengths.get(keyText(service));
			if (length === undefined || ticksBetween(service.changed, now) < length) return false;
			return this.#isInTransition(tables, service);
		});
	}

	#isInTransition(tables: SharedTables, { number, changed }: StandingPlace): boolean {
		const quiet = this.#quiet.get(tables) ?? new Map<number, number>();
		this.#quiet.set(tables, quiet);
		if (quiet.get(number) === changed) return false;
		const isMoving = isInTransition(tables.rings(number));
		// A change that comes later in the same tick has the same time.
		if (!isMoving && changed !== currentTick()) quiet.set(number, changed);
		return isMoving;
	}
}
