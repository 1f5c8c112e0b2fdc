/** The rings of services over their configured pools, each computed once, because that takes milliseconds. */
import { maglevRing, reassign } from "./maglev.ts";
import { NOBODY } from "./ring.ts";
import { type BalancedReal, type BalancedService, keyText, seedOf } from "./service.ts";

/** A ring takes 128 KiB. Rings of further services are computed again each time. */
const MOST_RINGS = 512;

interface Cached {
	/** The members that it was computed for, in order, and the number of each. */
	readonly members: readonly Pick<BalancedReal, "address" | "weight">[];
	readonly numbers: readonly number[];
	/** The number of each slot's real, so that a change of health needs no translation. */
	readonly ring: Uint16Array;
}

export class RingCache {
	readonly #rings = new Map<string, Cached>();

	/**
	 * The number of the real that each slot should have: the configured ring, with the slots of reals that do not serve
	 * reassigned. `numbers`: the number of each real, in the service's order. Do not change the result, which may
	 * belong to the cache.
	 */
	target(service: BalancedService, numbers: readonly number[]): Uint16Array {
		const seed = seedOf(service);
		const configured = this.#configured(service, numbers, seed);
		if (service.reals.every(({ serves }) => serves)) return configured;
		const serves: boolean[] = [];
		service.reals.forEach((real, n) => {
			serves[numbers[n] ?? NOBODY] = real.serves;
		});
		return reassign(configured, serves, seed);
	}

	/** Drops the rings of removed services. */
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
