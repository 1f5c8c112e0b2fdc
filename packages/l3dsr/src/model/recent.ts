/**
 * The latest items, bounded in number and in total size, because one record may be a thousand times as long as
 * another. Pure.
 */

export interface RecentLimits {
	readonly count: number;
	/** Total size of all items, in the unit of their sizes. */
	readonly size: number;
}

/** What the agent and the HTTP process keep of records; sizes are characters of JSON. */
export const KEPT_RECORDS: RecentLimits = { count: 1000, size: 4 << 20 };

export class Recent<T> {
	readonly #limits: RecentLimits;
	#kept: { readonly item: T; readonly size: number }[] = [];
	#size = 0;

	constructor(limits: RecentLimits) {
		this.#limits = limits;
	}

	/** Oldest first. Always contains the latest item, whatever its size. */
	get items(): readonly T[] {
		return this.#kept.map(({ item }) => item);
	}

	get last(): T | undefined {
		return this.#kept.at(-1)?.item;
	}

	add(item: T, size: number): void {
		this.#kept.push({ item, size });
		this.#size += size;
		const { count, size: most } = this.#limits;
		while (this.#kept.length > 1 && (this.#kept.length > count || this.#size > most))
			this.#size -= this.#kept.shift()?.size ?? 0;
	}
}
