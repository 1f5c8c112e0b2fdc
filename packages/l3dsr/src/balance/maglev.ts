/**
 * Assigns slots to real servers: Maglev (Eisenbud et al., NSDI 2016, section 3.4) with weights over the configured
 * pool, and then the slots of reals that are down reassigned, slot by slot.
 *
 * Pure. The result depends only on the configuration and on which reals are down, never on the order of events, so
 * directors agree without communicating.
 */
import { hashBytes, mix32 } from "./hash.ts";
import { findUnmarked, NOBODY, noMarks, RING_SLOTS } from "./ring.ts";

/** A real server of one service, as the ring needs it. */
export interface RingMember {
	/** The seed of its permutation: the bytes of its address. */
	readonly key: ArrayLike<number>;
	/** 0: gets no slots. */
	readonly weight: number;
	/** The value of its slots, less than NOBODY. Default: its index in the list of members. */
	readonly number?: number;
}

/** Salts the step size, so that two reals with the same start differ in their steps. */
const STEP_SALT = 0x5555_5555_5555_5555n;

/** Members in the order of their turns, in parallel arrays. */
interface Turns {
	readonly number: Uint16Array;
	readonly weight: Float64Array;
	/** Where each permutation begins, and its step size. */
	readonly start: Int32Array;
	readonly step: Int32Array;
}

/**
 * Slot → number of its member; NOBODY in all slots if no member has a weight. Two members with the same weight differ
 * by at most one slot. `members` may be in any order; the same keys and weights get the same slots.
 */
export function maglevRing(members: readonly RingMember[], seed: bigint): Uint16Array {
	return fill(turnsOf(members, seed));
}

function turnsOf(members: readonly RingMember[], seed: bigint): Turns {
	// Sort them, so that their order in the file does not matter.
	const order = members
		.map(({ key, weight, number }, index) => ({
			index,
			number: number ?? index,
			weight,
			key,
			hash: hashBytes(Array.from(key), seed),
		}))
		.filter(({ weight }) => weight > 0)
		.sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : a.index - b.index));
	return {
		number: Uint16Array.from(order, ({ number }) => number),
		weight: Float64Array.from(order, ({ weight }) => weight),
		start: Int32Array.from(order, ({ hash }) => Number(hash % BigInt(RING_SLOTS))),
		step: Int32Array.from(order, ({ key }) => {
			const hash = hashBytes(Array.from(key), seed ^ STEP_SALT);
			return Number(hash % BigInt(RING_SLOTS - 1)) + 1;
		}),
	};
}

/**
 * A separate function that only sees typed arrays of numbers, so that the JIT's code for its loop stays valid for
 * every caller.
 */
function fill({ number, weight, start, step }: Turns): Uint16Array {
	const ring = new Uint16Array(RING_SLOTS).fill(NOBODY);
	const count = number.length;
	if (count === 0) return ring;
	const most = Math.max(...weight);
	const at = start.slice();
	const credit = new Float64Array(count);
	/** One bit per slot, so that the search stays in the CPU cache. */
	const taken = new Int32Array(Math.ceil(RING_SLOTS / 32));
	const few: FewSlots = { slots: new Int32Array(FEW), count: 0 };
	let inverse = new Int32Array(0);
	for (let left = RING_SLOTS; ; ) {
		for (let i = 0; i < count; i++) {
			// A member gets a turn each time its weights add up to `most`.
			const saved = (credit[i] as number) + (weight[i] as number);
			if (saved < most) {
				credit[i] = saved;
				continue;
			}
			credit[i] = saved - most;
			let slot = at[i] as number;
			if (left > FEW) {
				const by = step[i] as number;
				while ((((taken[slot >> 5] as number) >> (slot & 31)) & 1) !== 0) {
					slot += by;
					// No branch: the steps are random, so a CPU could not predict it.
					slot -= RING_SLOTS & ((RING_SLOTS - 1 - slot) >> 31);
				}
				taken[slot >> 5] = (taken[slot >> 5] as number) | (1 << (slot & 31));
				at[i] = slot;
			} else slot = takeNearest(few, slot, inverse[i] as number);
			ring[slot] = number[i] as number;
			if (--left === 0) return ring;
			if (left === FEW) {
				few.count = listFree(taken, few.slots);
				inverse = step.map(inverseOf);
			}
		}
	}
}

/**
 * When only this many slots are free, a member's next slot is computed instead of searched: from the number of steps
 * to each free slot, the smallest wins. A search takes RING_SLOTS / (free slots) steps on average.
 */
const FEW = 128;

/** The free slots, in any order: the first `count` of `slots`. */
interface FewSlots {
	readonly slots: Int32Array;
	count: number;
}

function listFree(taken: Int32Array, slots: Int32Array): number {
	let count = 0;
	for (let slot = 0; slot < RING_SLOTS; slot++)
		if ((((taken[slot >> 5] as number) >> (slot & 31)) & 1) === 0) slots[count++] = slot;
	return count;
}

/** Takes the free slot that comes first in a member's permutation after `from`. */
function takeNearest(few: FewSlots, from: number, inverse: number): number {
	const { slots, count } = few;
	let nearest = 0;
	let fewest = RING_SLOTS;
	for (let n = 0; n < count; n++) {
		const distance = (slots[n] as number) - from;
		const steps = multiply(distance + (RING_SLOTS & (distance >> 31)), inverse);
		if (steps >= fewest) continue;
		fewest = steps;
		nearest = n;
	}
	const slot = slots[nearest] as number;
	few.count = count - 1;
	slots[nearest] = slots[few.count] as number;
	return slot;
}

/** `a * b` modulo the number of slots, 2^16 + 1, where 2^16 counts as -1. */
function multiply(a: number, b: number): number {
	// Only with this factor may 32 bits be too few.
	if (a === RING_SLOTS - 1) return b === 0 ? 0 : RING_SLOTS - b;
	const product = Math.imul(a, b);
	const rest = (product & 0xffff) - (product >>> 16);
	return rest + (RING_SLOTS & (rest >> 31));
}

/**
 * The number that gives 1 when multiplied by the step: its power with the exponent 2^16 - 1, by Fermat's little
 * theorem.
 */
function inverseOf(step: number): number {
	let inverse = 1;
	for (let n = 0, power = step; n < 16; n++, power = multiply(power, power))
		inverse = multiply(inverse, power);
	return inverse;
}

/** A slot stops throwing dice after this many misses; with half of the reals up, that happens to one slot in 2^64. */
const THROWS = 64;
/** Scales 32 bits to a slot. */
const SLOTS_PER_NUMBER = RING_SLOTS / 2 ** 32;

/**
 * The ring with the slots of members that do not serve (`serves`: by number) reassigned to members that do. Such a
 * slot throws its own dice over all slots of the configured ring, where each member has slots by its weight, until it
 * hits a member that serves. The slot stays with that member while it serves, whatever happens to others. All other
 * slots stay unchanged. NOBODY in all slots if no member serves.
 */
export function reassign(ring: Uint16Array, serves: readonly boolean[], seed: bigint): Uint16Array {
	const result = ring.slice();
	const isUp = noMarks();
	for (let member = 0; member < serves.length; member++) if (serves[member] === true) isUp[member] = 1;
	const salt = Number(seed & 0xffff_ffffn) | 0;
	/** Members that serve, in the order of their first slots; computed when needed. */
	let others: Uint16Array | undefined;
	const orphans = findUnmarked(ring, isUp);
	for (let n = 0; n < orphans.length; n++) {
		const slot = orphans[n] as number;
		const dice = mix32(salt ^ slot);
		let owner = throwDice(ring, isUp, dice);
		if (owner === NOBODY) {
			others ??= serving(ring, isUp);
			owner = others[dice % Math.max(1, others.length)] ?? NOBODY;
		}
		result[slot] = owner;
	}
	return result;
}

function serving(ring: Uint16Array, isUp: Uint8Array): Uint16Array {
	return Uint16Array.from(new Set(ring.filter((member) => isUp[member] === 1)));
}

/** The first serving member that the dice hit, or NOBODY. */
function throwDice(ring: Uint16Array, isUp: Uint8Array, dice: number): number {
	for (let n = 0; n < THROWS; n++) {
		const thrown = ring[Math.floor(mix32(dice + n) * SLOTS_PER_NUMBER)] as number;
		if (isUp[thrown] === 1) return thrown;
	}
	return NOBODY;
}
