/** The latest of many things, bounded in number and in size: one record may be a thousand times as long as another. Pure. */

export interface RecentLimits {
	readonly count: number;
	/** Of all together, in the unit in which their sizes are given. */
	readonly size: number;
}

/** What the agent, and the process that speaks HTTP, keep of records: the size is characters of JSON. */
export const KEPT_RECORDS: RecentLimits = { count: 1000, size: 4 << 20 };

export class Recent<T> {
	readonly #limits: RecentLimits;
	#kept: { readonly item: T; readonly size: number }[] = [];
	#size = 0;

	constructor(limits: RecentLimits) {
		this.#limits = limits;
	}

	/** The oldest first. The last that was added is one of them, whatever its size. */
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
