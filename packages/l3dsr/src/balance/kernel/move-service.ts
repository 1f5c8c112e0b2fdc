/** A service from the slots that it has to those that it should have: all that a health event asks for. */
import type { RingCache } from "../ring-cache.ts";
import type { BalancedService, ServiceKey } from "../service.ts";
import { flagsOf } from "../tables/real-entry.ts";
import type { ServicePlace } from "../tables/vip-table.ts";
import { isInTransition, moveRing, writeSlots } from "../transition.ts";
import type { SharedTables } from "./shared-tables.ts";

/** What a change did to one service. */
export interface ServiceChange {
	readonly service: ServiceKey;
	/** Slots that have another real than before. */
	readonly moved: number;
	/** Its drain has begun, or begun anew. */
	readonly inTransition: boolean;
}

/** A service that is in the tables, with the numbers of its reals. */
export interface MovableService {
	readonly wish: BalancedService;
	readonly place: Pick<ServicePlace, "number" | "first">;
	/** Numbers within the service, in the order of the wish's reals. */
	readonly indexes: readonly number[];
	/** Numbers of reals that have left and keep their flows. */
	readonly leaving: readonly number[];
}

/**
 * In the order that keeps every moment right: who comes up is marked first, then slots change, then who went down is
 * marked. `remember`: flows of slots that change are remembered.
 */
export function moveService(
	tables: SharedTables,
	cache: RingCache,
	{ wish, place, indexes, leaving }: MovableService,
	{ remember, now }: { readonly remember: boolean; readonly now: number },
): ServiceChange {
	const carrying = new Set(leaving.filter((index) => tables.reals.isUp(place.first + index)));
	wish.reals.forEach(({ carries, health }, n) => {
		const index = indexes[n];
		if (!carries || index === undefined) return;
		carrying.add(index);
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
 * Whether a service, which was moved to `before`, is there still, and the wish is the same: then its 65,537 slots need not
 * be looked at. Somebody else who has changed it has changed a mark.
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
