/**
 * Which real server has which slot: Maglev (Eisenbud et al., NSDI 2016, section 3.4) with weights over the configured
 * pool, and the slots of reals that are down given to others, slot by slot.
 *
 * Pure. The result depends on what is configured and on who is down, never on the order in which it came about: so
 * directors agree without talking to each other.
 */
import { hashBytes, mix32 } from "./hash.ts";

/** A prime, as Maglev's permutations want: each step size goes through all the slots. */
export const RING_SLOTS = 65537;
/** In a slot: nobody. A slot has 15 bits for its real. */
export const NOBODY = 0x7fff;

/** A real server of one service, as far as its slots go. */
export interface RingMember {
	/** What its permutation is made from: the bytes of its address. */
	readonly key: ArrayLike<number>;
	/** 0 has no slot. */
	readonly weight: number;
}

/** Salts the step size, so that two reals with one offset differ in it. */
const STEP_SALT = 0x5555_5555_5555_5555n;

/**
 * Slot → index into `members`, or NOBODY everywhere when no member has a weight. Of two members with the same weight,
 * neither has two slots more than the other. `members` may be in any order; those with the same keys and weights get
 * the same slots.
 */
export function maglevRing(members: readonly RingMember[], seed: bigint): Uint16Array {
	const ring = new Uint16Array(RING_SLOTS).fill(NOBODY);
	// In an order of their own, so that the order of a file does not move flows.
	const order = members
		.map((member, index) => ({ index, weight: member.weight, hash: hashBytes(Array.from(member.key), seed) }))
		.filter(({ weight }) => weight > 0)
		.sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : a.index - b.index));
	const count = order.length;
	if (count === 0) return ring;
	const index = Uint16Array.from(order, (one) => one.index);
	const weight = Float64Array.from(order, (one) => one.weight);
	const most = Math.max(...weight);
	const at = Int32Array.from(order, ({ hash }) => Number(hash % BigInt(RING_SLOTS)));
	const step = Int32Array.from(order, ({ index: i }) => {
		const hash = hashBytes(Array.from(members[i]?.key ?? []), seed ^ STEP_SALT);
		return Number(hash % BigInt(RING_SLOTS - 1)) + 1;
	});
	const credit = new Float64Array(count);
	/** Most of the time goes into looking for a free slot: half as many bytes as the ring has are nearer. */
	const taken = new Uint8Array(RING_SLOTS);
	for (let filled = 0; ; ) {
		for (let i = 0; i < count; i++) {
			// A member takes a turn for each `most` that its weight adds up to.
			const saved = (credit[i] as number) + (weight[i] as number);
			if (saved < most) {
				credit[i] = saved;
				continue;
			}
			credit[i] = saved - most;
			let slot = at[i] as number;
			const by = step[i] as number;
			while (taken[slot] === 1) {
				slot += by;
				if (slot >= RING_SLOTS) slot -= RING_SLOTS;
			}
			taken[slot] = 1;
			ring[slot] = index[i] as number;
			slot += by;
			at[i] = slot >= RING_SLOTS ? slot - RING_SLOTS : slot;
			if (++filled === RING_SLOTS) return ring;
		}
	}
}

/** After so many misses a slot no longer throws its dice; with half of the reals up, one in 2^64 slots gets there. */
const THROWS = 64;
/** From 32 bits to a slot. */
const SLOTS_PER_NUMBER = RING_SLOTS / 2 ** 32;

/**
 * The ring with the slots of members that do not serve given to those that do. A slot throws its own dice over all
 * slots of the configured ring, which has each member as often as its weight says, until the throw hits one that
 * serves: as long as that one serves, the slot stays with it, whoever else comes and goes. Every other slot stays
 * as it is. NOBODY everywhere when nobody serves.
 */
export function reassign(ring: Uint16Array, serves: readonly boolean[], seed: bigint): Uint16Array {
	const result = ring.slice();
	const isUp = new Uint8Array(NOBODY + 1);
	serves.forEach((does, member) => {
		if (does) isUp[member] = 1;
	});
	const salt = Number(seed & 0xffff_ffffn);
	/** Members that serve, in the order of their first slots; filled when a slot needs it. */
	let others: readonly number[] | undefined;
	for (let slot = 0; slot < RING_SLOTS; slot++) {
		if (isUp[ring[slot] as number] === 1) continue;
		let owner = NOBODY;
		const dice = mix32(salt ^ slot);
		for (let n = 0; n < THROWS; n++) {
			const thrown = ring[Math.floor(mix32(dice + n) * SLOTS_PER_NUMBER)] as number;
			if (isUp[thrown] === 1) {
				owner = thrown;
				break;
			}
		}
		if (owner === NOBODY) {
			others ??= [...new Set(ring)].filter((member) => isUp[member] === 1);
			owner = others[dice % Math.max(1, others.length)] ?? NOBODY;
		}
		result[slot] = owner;
	}
	return result;
}

/** How many slots each member has; the last element counts those that nobody has. */
export function slotCounts(ring: Uint16Array, members: number): number[] {
	const counts = new Array<number>(members + 1).fill(0);
	for (const owner of ring) {
		const at = Math.min(owner, members);
		counts[at] = (counts[at] ?? 0) + 1;
	}
	return counts;
}
