/** Ids of programs and maps, which the compiler keeps apart from each other and from other numbers. */

/** Of a loaded program; the kernel gives each number once. */
export type ProgramId = number & { readonly __brand: "ProgramId" };
/** Of a map. */
export type MapId = number & { readonly __brand: "MapId" };

/** A number that names a program. Throws RangeError for what cannot be one. */
export function programIdOf(value: number): ProgramId {
	return checked(value, "program") as ProgramId;
}

/** A number that names a map. Throws RangeError for what cannot be one. */
export function mapIdOf(value: number): MapId {
	return checked(value, "map") as MapId;
}

function checked(value: number, what: string): number {
	if (!Number.isInteger(value) || value < 1 || value > 0xffff_ffff)
		throw new RangeError(`${value} is not the id of a ${what}`);
	return value;
}
