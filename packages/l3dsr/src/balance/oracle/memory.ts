/**
 * The director's memories without a limit of size. A program decides the same as long as none of its buckets
 * overflows.
 */

import type { FlowMode } from "../../model/director.ts";
import { tagOf } from "../hash.ts";
import { ALWAYS_TICKS, FRAGMENT_TICKS } from "../tables/layout.ts";

export interface FlowEntry {
	/** Number of the real within its service. */
	readonly real: number;
	/** True once the flow was seen again after its first packet. */
	readonly confirmed: boolean;
	readonly tick: number;
}

/** The memory of flows, by the hash of the flow. */
export interface Flows {
	get(hash: bigint): FlowEntry | undefined;
	set(hash: bigint, entry: FlowEntry): void;
}

/** The memory of fragments, by the hash of the datagram. */
export interface Fragments {
	/** The number, in the whole table, of the real that the datagram's first fragment went to. */
	get(hash: bigint, now: number): number | undefined;
	set(hash: bigint, number: number, now: number): void;
}

export class FlowMemory implements Flows {
	readonly #entries = new Map<string, FlowEntry>();
	readonly #mask: bigint;

	constructor(bucketBits: number) {
		this.#mask = (1n << BigInt(bucketBits)) - 1n;
	}

	get(hash: bigint): FlowEntry | undefined {
		return this.#entries.get(this.#key(hash));
	}

	set(hash: bigint, entry: FlowEntry): void {
		this.#entries.set(this.#key(hash), entry);
	}

	/** The program cannot distinguish two flows that share a bucket and a tag. */
	#key(hash: bigint): string {
		return `${hash & this.#mask} ${tagOf(hash)}`;
	}
}

/** The age up to which an entry is trusted, in ticks. A transition may last longer than an entry's age can tell. */
export function entryLimit(mode: FlowMode, transitionTicks: number): number {
	return mode === "always" ? ALWAYS_TICKS : transitionTicks >>> 0;
}

export class FragmentMemory implements Fragments {
	readonly #entries = new Map<string, { readonly number: number; readonly tick: number }>();
	readonly #mask: bigint;

	constructor(bucketBits: number) {
		this.#mask = (1n << BigInt(bucketBits)) - 1n;
	}

	get(hash: bigint, now: number): number | undefined {
		const entry = this.#entries.get(this.#key(hash));
		if (entry === undefined || ((now - entry.tick) & 0xfff) > FRAGMENT_TICKS) return undefined;
		return entry.number;
	}

	set(hash: bigint, number: number, now: number): void {
		this.#entries.set(this.#key(hash), { number, tick: now });
	}

	#key(hash: bigint): string {
		return `${hash & this.#mask} ${tagOf(hash)}`;
	}
}
