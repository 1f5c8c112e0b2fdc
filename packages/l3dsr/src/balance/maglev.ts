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
	/** What its slots have, less than NOBODY. Default: its index in the list of members. */
	readonly number?: number;
}

/** Salts the step size, so that two reals with one offset differ in it. */
const STEP_SALT = 0x5555_5555_5555_5555n;

/** Members in the order of their turns, side by side. */
interface Turns {
	readonly number: Uint16Array;
	readonly weight: Float64Array;
	/** Where the permutation of each begins, and how far it goes with each step. */
	readonly start: Int32Array;
	readonly step: Int32Array;
}

/**
 * Slot → number of the member, or NOBODY everywhere when no member has a weight. Of two members with the same weight,
 * neither has two slots more than the other. `members` may be in any order; those with the same keys and weights get
 * the same slots.
 */
export function maglevRing(members: readonly RingMember[], seed: bigint): Uint16Array {
	return fill(turnsOf(members, seed));
}

function turnsOf(members: readonly RingMember[], seed: bigint): Turns {
	// In an order of their own, so that the order of a file does not move flows.
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
 * A function of its own, which sees nothing but numbers in arrays of one kind: what the compiler has made of its loop stays
 * valid whoever calls.
 */
function fill({ number, weight, start, step }: Turns): Uint16Array {
	const ring = new Uint16Array(RING_SLOTS).fill(NOBODY);
	const count = number.length;
	if (count === 0) return ring;
	const most = Math.max(...weight);
	const at = start.slice();
	const credit = new Float64Array(count);
	/** A bit for each slot: what the search goes through has to be near the processor. */
	const taken = new Int32Array(Math.ceil(RING_SLOTS / 32));
	const few: FewSlots = { slots: new Int32Array(FEW), count: 0 };
	let inverse = new Int32Array(0);
	for (let left = RING_SLOTS; ; ) {
		for (let i = 0; i < count; i++) {
			// A member takes a turn for each `most` that its weight adds up to.
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
					// Without a branch, which no processor could foretell: the steps are random numbers.
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
 * When this many slots are free, the next one of a member is no longer looked for step by step, which takes as many steps
 * as there are slots for each that is free, but computed: the steps to each free slot, of which the fewest count.
 */
const FEW = 128;

/** Free slots in any order: the first `count` of `slots`. */
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

/** Takes the free slot that comes first in the permutation of a member which is at `from`. */
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

/** `a * b` modulo the number of slots, which is 2^16 + 1: so 2^16 counts as -1. */
function multiply(a: number, b: number): number {
	// The only factor with which 32 bits may be too few.
	if (a === RING_SLOTS - 1) return b === 0 ? 0 : RING_SLOTS - b;
	const product = Math.imul(a, b);
	const rest = (product & 0xffff) - (product >>> 16);
	return rest + (RING_SLOTS & (rest >> 31));
}

/** What a step has to be multiplied by to give 1: by Fermat's little theorem, its power with the exponent 2^16 - 1. */
function inverseOf(step: number): number {
	let inverse = 1;
	for (let n = 0, power = step; n < 16; n++, power = multiply(power, power))
		inverse = multiply(inverse, power);
	return inverse;
}

/** After so many misses a slot no longer throws its dice; with half of the reals up, one in 2^64 slots gets there. */
const THROWS = 64;
/** From 32 bits to a slot. */
const SLOTS_PER_NUMBER = RING_SLOTS / 2 ** 32;

/**
 * The ring with the slots of members that do not serve (`serves`: by number) given to those that do. A slot throws its own dice over all
 * slots of the configured ring, which has each member as often as its weight says, until the throw hits one that
 * serves: as long as that one serves, the slot stays with it, whoever else comes and goes. Every other slot stays
 * as it is. NOBODY everywhere when nobody serves.
 */
export function reassign(ring: Uint16Array, serves: readonly boolean[], seed: bigint): Uint16Array {
	const result = ring.slice();
	const isUp = new Uint8Array(NOBODY + 1);
	for (let member = 0; member < serves.length; member++) if (serves[member] === true) isUp[member] = 1;
	const salt = Number(seed & 0xffff_ffffn) | 0;
	/** Members that serve, in the order of their first slots; filled when a slot needs it. */
	let others: Uint16Array | undefined;
	const count = findOrphans(ring, isUp);
	for (let n = 0; n < count; n++) {
		const slot = FOUND[n] as number;
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

/** Room for what a look through a ring finds; nobody keeps it. */
const FOUND = new Uint32Array(RING_SLOTS);

/**
 * The slots of members that are not up, in `FOUND`; gives how many. A function of its own, as `fill`: most of the time
 * between a death and the tables is spent here and in the like of it.
 */
function findOrphans(ring: Uint16Array, isUp: Uint8Array): number {
	let count = 0;
	for (let slot = 0; slot < RING_SLOTS; slot++) if (isUp[ring[slot] as number] === 0) FOUND[count++] = slot;
	return count;
}

function serving(ring: Uint16Array, isUp: Uint8Array): Uint16Array {
	return Uint16Array.from(new Set(ring.filter((member) => isUp[member] === 1)));
}

/** Whom the dice hit that serves, or NOBODY. */
function throwDice(ring: Uint16Array, isUp: Uint8Array, dice: number): number {
	for (let n = 0; n < THROWS; n++) {
		const thrown = ring[Math.floor(mix32(dice + n) * SLOTS_PER_NUMBER)] as number;
		if (isUp[thrown] === 1) return thrown;
	}
	return NOBODY;
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
