/**
 * The last minutes of every rate, in the page's memory: a ring of times, and a ring of values for each key.
 * The agent keeps no history, so a new page starts empty.
 */
/** Per second. */
export interface Rate {
	readonly packets: number;
	readonly bits: number;
}

export interface Sample {
	readonly key: string;
	/** Null if nothing counts packets. */
	readonly packets: number | null;
	readonly bytes: number | null;
}

interface Track {
	readonly packets: Float32Array;
	readonly bits: Float32Array;
	last: { readonly packets: number; readonly bytes: number; readonly timeMs: number } | undefined;
	rate: Rate | null;
	/** The last moment at which it was part of a sample. */
	seen: number;
}

/** The number of past moments that are kept: five minutes at one a second. */
export const LENGTH = 300;

export class Timeline {
	readonly length: number;
	readonly #times: Float64Array;
	readonly #tracks = new Map<string, Track>();
	#moments = 0;
	#lastMs = Number.NEGATIVE_INFINITY;

	constructor(length = LENGTH) {
		this.length = length;
		this.#times = new Float64Array(length);
	}

	/**
	 * Adds the counters of one moment; ignores one that it already has. An earlier one means that the host's clock was set
	 * back: its times cannot be compared with those before, so the timeline begins again.
	 */
	add(timeMs: number, samples: Iterable<Sample>): void {
		if (timeMs === this.#lastMs) return;
		if (timeMs < this.#lastMs) {
			this.#tracks.clear();
			this.#moments = 0;
		}
		this.#lastMs = timeMs;
		const at = this.#moments % this.length;
		this.#times[at] = timeMs;
		this.#moments++;
		for (const { key, packets, bytes } of samples) {
			const track = this.#track(key);
			track.rate = null;
			track.seen = this.#moments;
			if (packets !== null && bytes !== null) {
				const now = { packets, bytes, timeMs };
				track.rate = rateBetween(track.last, now);
				track.last = now;
			} else track.last = undefined;
			track.packets[at] = track.rate?.packets ?? Number.NaN;
			track.bits[at] = track.rate?.bits ?? Number.NaN;
		}
		for (const [key, track] of this.#tracks) {
			if (track.seen === this.#moments) continue;
			// It has been missing for the whole length of the timeline.
			if (this.#moments - track.seen >= this.length) this.#tracks.delete(key);
			track.rate = null;
			track.last = undefined;
			track.packets[at] = Number.NaN;
			track.bits[at] = Number.NaN;
		}
	}

	/**
	 * Makes `key` the sum of the other keys' rates at the latest moment; a key without a rate (after a reset)
	 * is left out.
	 */
	sum(key: string, parts: Iterable<string>): void {
		const rates = [...parts].map((part) => this.rate(part)).filter((rate) => rate !== null);
		const rate =
			rates.length === 0
				? null
				: rates.reduce((a, b) => ({ packets: a.packets + b.packets, bits: a.bits + b.bits }));
		const track = this.#track(key);
		const at = (this.#moments - 1) % this.length;
		track.seen = this.#moments;
		track.rate = rate;
		track.packets[at] = rate?.packets ?? Number.NaN;
		track.bits[at] = rate?.bits ?? Number.NaN;
	}

	/** Null if the rate is unknown: the first moment of a key, reset counters, no counter. */
	rate(key: string): Rate | null {
		return this.#tracks.get(key)?.rate ?? null;
	}

	get keys(): number {
		return this.#tracks.size;
	}

	/** Times of the kept moments in seconds since 1970, oldest first, at most `most`. */
	times(most = this.length): number[] {
		return this.#indices(most).map((index) => (this.#times[index] ?? 0) / 1000);
	}

	/** Values of a key at those moments; null if there is none. */
	values(key: string, unit: keyof Rate, most = this.length): (number | null)[] {
		const ring = this.#tracks.get(key)?.[unit];
		return this.#indices(most).map((index) => {
			const value = ring?.[index];
			return value === undefined || Number.isNaN(value) ? null : value;
		});
	}

	#indices(most: number): number[] {
		const kept = Math.min(this.#moments, this.length, most);
		return Array.from({ length: kept }, (_, n) => (this.#moments - kept + n) % this.length);
	}

	#track(key: string): Track {
		let track = this.#tracks.get(key);
		if (track === undefined) {
			const empty = (): Float32Array => new Float32Array(this.length).fill(Number.NaN);
			track = { packets: empty(), bits: empty(), last: undefined, rate: null, seen: 0 };
			this.#tracks.set(key, track);
		}
		return track;
	}
}

function rateBetween(before: Track["last"], now: NonNullable<Track["last"]>): Rate | null {
	if (before === undefined) return null;
	const seconds = (now.timeMs - before.timeMs) / 1000;
	const packets = now.packets - before.packets;
	const bytes = now.bytes - before.bytes;
	if (packets < 0 || bytes < 0 || seconds <= 0) return null;
	return { packets: packets / seconds, bits: (bytes * 8) / seconds };
}
