/** Interface indexes, as a type that the compiler distinguishes from other numbers. */

/** The index of an interface, unique within its network namespace; from 1. */
export type IfIndex = number & { readonly __brand: "IfIndex" };

/**
 * For a number from the kernel, or one that the caller knows to be an index. Throws RangeError for a number
 * that cannot be one.
 */
export function ifIndexOf(value: number): IfIndex {
	if (!Number.isInteger(value) || value < 1 || value > 0x7fff_ffff)
		throw new RangeError(`${value} is not an interface index`);
	return value as IfIndex; // checked above
}
