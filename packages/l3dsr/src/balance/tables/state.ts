/**
 * The director's tables as values: the ring and numbers of each service, and the number of each real. Pure; they are
 * read from the shared tables (kernel/shared-tables.ts) and changed towards a wish (plan.ts).
 */
import { sameAddress } from "@l3dsr/packet";
import type { Affinity } from "../../model/fleet.ts";
import type { ServiceKey } from "../service.ts";
import { REASON_SLOTS } from "./layout.ts";
import type { RealEntry } from "./real-entry.ts";

/** A real with its number in its service. */
export interface NumberedReal {
	readonly index: number;
	readonly entry: RealEntry;
}

/** A service without its reals: where it is in the tables. */
export interface CurrentPlace extends ServiceKey {
	/** Number of its ring. */
	readonly number: number;
	/** The numbers of its reals: `room` of them, from `first`. */
	readonly first: number;
	readonly room: number;
	readonly affinity: Affinity;
	/** When the transition began and when it last changed, in TICKs. */
	readonly since: number;
	readonly changed: number;
}

export interface CurrentService extends CurrentPlace {
	/** Only taken numbers, including those of removed reals. */
	readonly reals: readonly NumberedReal[];
}

export function isSameService(a: ServiceKey, b: ServiceKey): boolean {
	return a.protocol === b.protocol && a.port === b.port && sameAddress(a.address, b.address);
}

/** Half as many again as there are reals, so that some can leave and join: a power of two, at least 8. */
export function roomFor(reals: number): number {
	return powerOfTwo(Math.max(8, Math.ceil(reals * 1.5)));
}

export function powerOfTwo(atLeast: number): number {
	return 2 ** Math.ceil(Math.log2(Math.max(1, atLeast)));
}

/** Assigns rings and numbers of the tables. */
export class Allocator {
	readonly #rings: number;
	readonly #numbers: number;
	readonly #takenRings = new Set<number>();
	readonly #taken: { first: number; end: number }[] = [{ first: 0, end: REASON_SLOTS }];

	constructor(
		{ rings, reals }: { readonly rings: number; readonly reals: number },
		current: readonly CurrentService[],
	) {
		this.#rings = rings;
		this.#numbers = reals;
		for (const { number, first, room } of current) {
			this.#takenRings.add(number);
			this.#taken.push({ first, end: first + room });
		}
	}

	/** Undefined if the tables are full. */
	take(
		reals: number,
	): { readonly number: number; readonly first: number; readonly room: number } | undefined {
		const room = roomFor(reals);
		let number = 0;
		while (this.#takenRings.has(number)) number++;
		this.#taken.sort((a, b) => a.first - b.first);
		let first = 0;
		for (const range of this.#taken) {
			if (first + room <= range.first) break;
			first = Math.max(first, range.end);
		}
		if (number >= this.#rings || first + room > this.#numbers) return undefined;
		this.#takenRings.add(number);
		this.#taken.push({ first, end: first + room });
		return { number, first, room };
	}
}
