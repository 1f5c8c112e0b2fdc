/** Ids of programs and maps, as types that the compiler distinguishes. */

/** Id of a loaded program; the kernel uses each number once. */
export type ProgramId = number & { readonly __brand: "ProgramId" };
/** Id of a map. */
export type MapId = number & { readonly __brand: "MapId" };

/** Throws RangeError for a number that cannot be the id of a program. */
export function programIdOf(value: number): ProgramId {
	return checked(value, "program") as ProgramId;
}

/** Throws RangeError for a number that cannot be the id of a map. */
export function mapIdOf(value: number): MapId {
	return checked(value, "map") as MapId;
}

function checked(value: number, what: string): number {
	if (!Number.isInteger(value) || value < 1 || value > 0xffff_ffff)
		throw new RangeError(`${value} is not the id of a ${what}`);
	return value;
}
