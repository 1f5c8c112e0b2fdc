/** The rings of services over their configured pools, computed once for each pool: a ring takes milliseconds. */
import { maglevRing, NOBODY, reassign } from "./maglev.ts";
import { type BalancedReal, type BalancedService, keyText, seedOf } from "./service.ts";

/** A ring is 128 KiB. Of more services than this, those that come last are computed anew each time. */
const MOST_RINGS = 512;

interface Cached {
	/** Whom it was made for, in order. */
	readonly members: readonly Pick<BalancedReal, "address" | "weight">[];
	/** Index into the service's reals, by slot. */
	readonly ring: Uint16Array;
}

export class RingCache {
	readonly #rings = new Map<string, Cached>();

	/**
	 * Number of the real (`numbers`: by its place in the service's list) that each slot is to have: of the configured
	 * ring, with the slots of those that do not serve given to others.
	 */
	target(service: BalancedService, numbers: readonly number[]): Uint16Array {
		const seed = seedOf(service);
		const ring = reassign(
			this.#configured(service, seed),
			service.reals.map(({ serves }) => serves),
			seed,
		);
		const number = Uint16Array.from(numbers);
		for (let slot = 0; slot < ring.length; slot++) {
			const index = ring[slot] as number;
			if (index !== NOBODY) ring[slot] = number[index] as number;
		}
		return ring;
	}

	/** Forgets services that are gone. */
	keepOnly(services: readonly BalancedService[]): void {
		const keys = new Set(services.map(keyText));
		for (const key of this.#rings.keys()) if (!keys.has(key)) this.#rings.delete(key);
	}

	#configured(service: BalancedService, seed: bigint): Uint16Array {
		const key = keyText(service);
		const cached = this.#rings.get(key);
		if (cached !== undefined && sameMembers(cached.members, service.reals)) return cached.ring;
		const ring = maglevRing(
			service.reals.map(({ address, weight }) => ({ key: address.bytes, weight })),
			seed,
		);
		if (cached !== undefined || this.#rings.size < MOST_RINGS)
			this.#rings.set(key, { members: service.reals, ring });
		return ring;
	}
}

function sameMembers(a: Cached["members"], b: Cached["members"]): boolean {
	return (
		a.length === b.length &&
		a.every(({ address, weight }, n) => weight === b[n]?.weight && address.text === b[n].address.text)
	);
}
