/** The next hops in the tables: which are out of date, and how they are replaced. */
import { waitForGracePeriod } from "@l3dsr/linux";
import type { Hop, RealEntry } from "../tables/real-entry.ts";
import type { CurrentService } from "../tables/state.ts";
import { type ResolvedHops, sameHop } from "./next-hops.ts";
import type { SharedTables } from "./shared-tables.ts";

export interface OutdatedHop {
	/** The number of the entry in the table of reals. */
	readonly number: number;
	readonly entry: RealEntry;
	/** What should be there. */
	readonly hop: Hop;
}

/** Entries whose next hop differs from the resolved one. */
export function outdatedHops(
	tables: SharedTables,
	{ hopOf }: Pick<ResolvedHops, "hopOf">,
	services: readonly CurrentService[] = tables.services(),
): readonly OutdatedHop[] {
	return services.flatMap(({ first, reals }) =>
		reals.flatMap(({ index, entry }) => {
			const hop = hopOf(entry.address);
			return sameHop(hop, entry.hop) ? [] : [{ number: first + index, entry, hop }];
		}),
	);
}

/**
 * Writes all changed next hops together, so that it waits only once for the programs to leave the old ones. Returns how
 * many changed.
 */
export function writeHops(tables: SharedTables, hops: Pick<ResolvedHops, "hopOf">): number {
	const changes = outdatedHops(tables, hops);
	const used = changes.filter(({ entry }) => entry.hop.to === "interface");
	for (const { number } of used) tables.reals.clearHop(number);
	if (used.length > 0) waitForGracePeriod();
	for (const { number, entry, hop } of changes) tables.reals.setHop(number, entry, hop);
	return changes.length;
}
