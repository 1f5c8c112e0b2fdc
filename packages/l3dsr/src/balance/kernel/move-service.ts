/** Moves a service from its current slots to the wanted ones; a change of health needs no more than this. */
import type { RingCache } from "../ring-cache.ts";
import type { BalancedService, ServiceKey } from "../service.ts";
import { flagsOf } from "../tables/real-entry.ts";
import type { ServicePlace } from "../tables/vip-table.ts";
import { isInTransition, moveRing, writeSlots } from "../transition.ts";
import type { SharedTables } from "./shared-tables.ts";

/** The result of a change for one service. */
export interface ServiceChange {
	readonly service: ServiceKey;
	/** Slots whose real has changed. */
	readonly moved: number;
	/** A drain has begun or begun again. */
	readonly inTransition: boolean;
}

/** A service in the tables, with the numbers of its reals. */
export interface MovableService {
	readonly wish: BalancedService;
	readonly place: Pick<ServicePlace, "number" | "first">;
	/** Numbers within the service, in the order of the wish's reals. */
	readonly indexes: readonly number[];
	/** Numbers of removed reals that keep their flows. */
	readonly leaving: readonly number[];
}

/**
 * Writes in an order that is right at every moment: first it marks reals that come up, then it changes slots, then it
 * marks reals that went down. `remember`: flows of changed slots are remembered.
 */
export function moveService(
	tables: SharedTables,
	cache: RingCache,
	{ wish, place, indexes, leaving }: MovableService,
	{ remember, now }: { readonly remember: boolean; readonly now: number },
): ServiceChange {
	const carrying = leaving.filter((index) => tables.reals.isUp(place.first + index));
	wish.reals.forEach(({ carries, health }, n) => {
		const index = indexes[n];
		if (!carries || index === undefined) return;
		carrying.push(index);
		const number = place.first + index;
		if (tables.reals.flags(number) !== flagsOf({ up: true, health }))
			tables.reals.setFlags(number, { up: true, health });
	});
	const rings = tables.rings(place.number);
	const target = cache.target(wish, indexes);
	const { changes, begins } = moveRing(rings, target, carrying, remember);
	if (begins) {
		const since = isInTransition(rings) ? tables.transition(place.number).since : now;
		tables.setTransition(place.number, since, now);
	}
	writeSlots(rings, changes);
	wish.reals.forEach(({ carries, health }, n) => {
		const number = place.first + (indexes[n] ?? 0);
		if (!carries && tables.reals.flags(number) !== flagsOf({ up: false, health }))
			tables.reals.setFlags(number, { up: false, health });
	});
	const { address, protocol, port } = wish;
	return { service: { address, protocol, port }, moved: changes.slots.length, inTransition: begins };
}

/**
 * True if a service that was moved to `before` is still in that state and the wish is the same, so that its 65,537
 * slots need not be compared. Any other process that changes the service also changes a mark.
 */
export function isSettled(
	tables: SharedTables,
	{ wish, place, indexes }: Pick<MovableService, "wish" | "place" | "indexes">,
	before: BalancedService,
): boolean {
	return wish.reals.every(({ serves, carries, health }, n) => {
		const [index, was] = [indexes[n], before.reals[n]];
		if (index === undefined || was === undefined) return false;
		return (
			was.serves === serves &&
			was.carries === carries &&
			was.health === health &&
			tables.reals.flags(place.first + index) === flagsOf({ up: carries, health })
		);
	});
}
