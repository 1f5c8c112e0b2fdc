/**
 * Keeps the memory of fragments right when a number is freed or a real server gets another one: its entries hold numbers
 * of the whole table. Programs write entries at the same time, one 64-bit store each.
 */
import { FRAGMENT_BITS, MOST_NUMBERS } from "../tables/layout.ts";

const NUMBER_AT = BigInt(FRAGMENT_BITS.real);
const NUMBER_MASK = MOST_NUMBERS - 1;

/** Removes the entries of these numbers, before other real servers get them. */
export function forgetDatagrams(entries: BigUint64Array, numbers: ReadonlySet<number>): void {
	for (let at = 0; at < entries.length; at++) {
		const entry = entries[at] ?? 0n;
		if (entry !== 0n && numbers.has(numberIn(entry))) Atomics.compareExchange(entries, at, entry, 0n);
	}
}

/**
 * Copies the entries to a memory of the same size, where that has a free entry in their place; leaves out those whose
 * number `numbers` lacks.
 */
export function carryDatagrams(
	from: BigUint64Array,
	to: BigUint64Array,
	numbers: ReadonlyMap<number, number>,
): void {
	for (let at = 0; at < from.length; at++) {
		const entry = from[at] ?? 0n;
		if (entry === 0n) continue;
		const number = numbers.get(numberIn(entry));
		if (number === undefined) continue;
		const carried = (entry & ~(BigInt(NUMBER_MASK) << NUMBER_AT)) | (BigInt(number) << NUMBER_AT);
		Atomics.compareExchange(to, at, 0n, carried);
	}
}

/** The number of the real server in an entry. */
export function numberIn(entry: bigint): number {
	return Number(entry >> NUMBER_AT) & NUMBER_MASK;
}
