/** The drain of each service: which drains are over, and what ends with them. */
import { type BalanceWish, keyText } from "../service.ts";
import { ALWAYS_TICKS } from "../tables/layout.ts";
import type { CurrentPlace } from "../tables/state.ts";
import { endTransition, isInTransition, referredReals, writeSlots } from "../transition.ts";
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
	over(tables: SharedTables, now: number): readonly CurrentPlace[] {
		return tables.places().filter((service) => {
			const length = this.#lengths.get(keyText(service));
			if (length === undefined || ticksBetween(service.changed, now) < length) return false;
			return this.#isInTransition(tables, service);
		});
	}

	/** Whether `end` may have something to do. */
	isDue(tables: SharedTables, now: number): boolean {
		return tables.places().some((place) => tables.reals.hasLeft(place)) || this.over(tables, now).length > 0;
	}

	/**
	 * Ends the transitions whose drain is over, and frees the numbers of removed reals. `remembersAlways`: a program
	 * remembers flows outside transitions too, so the number stays as long as such a flow. Returns how many transitions
	 * ended.
	 */
	end(
		tables: SharedTables,
		{ now, remembersAlways }: { readonly now: number; readonly remembersAlways: boolean },
	): number {
		const over = this.over(tables, now);
		for (const { number } of over) {
			const rings = tables.rings(number);
			writeSlots(rings, endTransition(rings));
		}
		const leastAge = remembersAlways ? ALWAYS_TICKS : undefined;
		const gone = tables
			.places()
			.flatMap((place) => (tables.reals.hasLeft(place) ? numbersOver(tables, place, { now, leastAge }) : []));
		if (gone.length > 0) {
			tables.freeNumbers(new Set(gone));
			tables.reals.touch();
		}
		return over.length;
	}

	#isInTransition(tables: SharedTables, { number, changed }: CurrentPlace): boolean {
		const quiet = this.#quiet.get(tables) ?? new Map<number, number>();
		this.#quiet.set(tables, quiet);
		if (quiet.get(number) === changed) return false;
		const isMoving = isInTransition(tables.rings(number));
		// A later change in the same tick would have the same time.
		if (!isMoving && changed !== currentTick()) quiet.set(number, changed);
		return isMoving;
	}
}

/** The numbers of removed reals to which no slot refers; with `leastAge`, only of those that left longer ago (ticks). */
function numbersOver(
	tables: SharedTables,
	place: CurrentPlace,
	{ now, leastAge }: { readonly now: number; readonly leastAge: number | undefined },
): number[] {
	const rings = tables.rings(place.number);
	if (isInTransition(rings)) return [];
	const referred = referredReals(rings);
	return tables.reals.of(place).flatMap(({ index, entry: { left } }) => {
		if (left === undefined || referred.has(index)) return [];
		return leastAge !== undefined && ticksBetween(left, now) <= leastAge ? [] : [place.first + index];
	});
}
