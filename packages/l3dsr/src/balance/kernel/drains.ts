/** The drain of each service, and the services whose drain is over. */
import { type BalanceWish, keyText } from "../service.ts";
import type { StandingPlace } from "../tables/state.ts";
import { isInTransition } from "../transition.ts";
import { currentTick, ticksBetween, ticksOf } from "./clock.ts";
import type { SharedTables } from "./shared-tables.ts";

export class Drains {
	/** Drain of each service in ticks, by its key, as last applied. */
	readonly #lengths = new Map<string, number>();
	/**
	 * For each set of tables, the rings without a slot in transition and the time of their last change. Until that time
	 * differs, their 65,537 slots are not searched again, which would keep an agent with a thousand services busy.
	 */
	readonly #quiet = new WeakMap<SharedTables, Map<number, number>>();

	use({ services }: Pick<BalanceWish, "services">): void {
		for (const service of services) this.#lengths.set(keyText(service), ticksOf(service.drainMs));
	}

	/** Services in transition whose drain is over. Leaves out services whose drain is not known. */
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
		// A later change in the same tick would have the same time.
		if (!isMoving && changed !== currentTick()) quiet.set(number, changed);
		return isMoving;
	}
}
