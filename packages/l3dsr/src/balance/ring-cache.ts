/** The rings of services over their configured pools, computed once for each pool: a ring takes milliseconds. */
import { maglevRing, NOBODY, reassign } from "./maglev.ts";
import { type BalancedReal, type BalancedService, keyText, seedOf } from "./service.ts";

/** A ring is 128 KiB. Of more services than this, those that come last are computed anew each time. */
const MOST_RINGS = 512;

interface Cached {
	/** Whom it was made for, in order, and the number of each. */
	readonly members: readonly Pick<BalancedReal, "address" | "weight">[];
	readonly numbers: readonly number[];
	/** Number of the real, by slot: a change of health has nothing to translate. */
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
		const serves: boolean[] = [];
		service.reals.forEach((real, n) => {
			serves[numbers[n] ?? NOBODY] = real.serves;
		});
		return reassign(this.#configured(service, numbers, seed), serves, seed);
	}

	/** Forgets services that are gone. */
	keepOnly(services: readonly BalancedService[]): void {
		const keys = new Set(services.map(keyText));
		for (const key of this.#rings.keys()) if (!keys.has(key)) this.#rings.delete(key);
	}

	#configured(service: BalancedService, numbers: readonly number[], seed: bigint): Uint16Array {
		const key = keyText(service);
		const cached = this.#rings.get(key);
		if (cached !== undefined && isFor(cached, service.reals, numbers)) return cached.ring;
		const ring = maglevRing(
			service.reals.map(({ address, weight }, n) => ({
				key: address.bytes,
				weight,
				number: numbers[n] ?? NOBODY,
			})),
			seed,
		);
		if (cached !== undefined || this.#rings.size < MOST_RINGS)
			this.#rings.set(key, { members: service.reals, numbers, ring });
		return ring;
	}
}

function isFor(
	{ members, numbers: own }: Cached,
	reals: readonly BalancedReal[],
	numbers: readonly number[],
): boolean {
	return (
		members.length === reals.length &&
		members.every(
			({ address, weight }, n) =>
				own[n] === numbers[n] && weight === reals[n]?.weight && address.text === reals[n].address.text,
		)
	);
}
