/**
 * Transitions of slots: a slot in transition remembers the real that it had *before*, so that older flows stay there
 * until the drain ends (the idea of JET, CoNEXT 2021, applied to Maglev's slots).
 */
import { findDifferent, NOBODY, noMarks, RING_SLOTS } from "./ring.ts";

/** Set in a slot of the ring that is in transition. */
export const IN_TRANSITION = 0x8000;

/** The two rings of a service as the program reads them. */
export interface Rings {
	/** The real of each slot, with IN_TRANSITION. */
	readonly now: Uint16Array;
	/** The real of each slot before its transition; read only for slots in transition. */
	readonly before: Uint16Array;
}

/** Slots to write, in parallel arrays; a change can affect all 65,537. */
export interface SlotChanges {
	readonly slots: Uint32Array;
	/** The new values for the ring and for the ring before. */
	readonly now: Uint16Array;
	readonly before: Uint16Array;
}

export interface RingChange {
	/** Slots whose real changes. */
	readonly changes: SlotChanges;
	/** True if a slot begins or continues a transition, so that the service's drain begins again. */
	readonly begins: boolean;
}

function slotChanges(count: number): SlotChanges {
	return { slots: new Uint32Array(count), now: new Uint16Array(count), before: new Uint16Array(count) };
}

/** Rings without a real in any slot, for a new service. */
export function emptyRings(): Rings {
	return { now: new Uint16Array(RING_SLOTS).fill(NOBODY), before: new Uint16Array(RING_SLOTS).fill(NOBODY) };
}

/**
 * From the rings as they are to `target` (real of each slot).
 *
 * A slot whose real still carries flows (`carries`) goes into transition; one whose real is dead does not: its flows
 * are lost, and the substitute's RST ends them quickly. A slot that changes again during a transition keeps as
 * *before* the oldest real that carries flows. `remember` false (no memory of flows) changes the slots at once.
 */
export function moveRing(
	rings: Rings,
	target: Uint16Array,
	carries: Iterable<number>,
	remember = true,
): RingChange {
	const { now: ring, before: previous } = rings;
	const moved = findDifferent(ring, target);
	const changes = slotChanges(moved.length);
	if (moved.length === 0) return { changes, begins: false };
	let begins = false;
	const isAlive = noMarks();
	for (const real of carries) isAlive[real] = 1;
	for (let n = 0; n < moved.length; n++) {
		const slot = moved[n] as number;
		const value = ring[slot] as number;
		const from = value & NOBODY;
		const before = previous[slot] as number;
		const isMoving = (value & IN_TRANSITION) !== 0;
		// A transition in progress continues even without a real to go back to, because other flows have entries here.
		const remembers = remember && (isMoving || isAlive[from] === 1);
		if (remembers) begins = true;
		changes.slots[n] = slot;
		changes.now[n] = (target[slot] as number) | (remembers ? IN_TRANSITION : 0);
		changes.before[n] = !remembers || (isMoving && isAlive[before] === 1) ? before : from;
	}
	return { changes, begins };
}

/** Every slot in transition, as it is after the drain. */
export function endTransition(rings: Rings): SlotChanges {
	const changes = slotChanges(slotsInTransition(rings));
	for (let slot = 0, next = 0; next < changes.slots.length; slot++) {
		const value = rings.now[slot] as number;
		if ((value & IN_TRANSITION) === 0) continue;
		changes.slots[next] = slot;
		changes.now[next] = value & NOBODY;
		changes.before[next] = rings.before[slot] as number;
		next++;
	}
	return changes;
}

/**
 * Writes the changes in an order that is right at every moment: the previous real of a slot is written before the bit
 * that makes the program read it. Each is a 16-bit store, which no program sees half of.
 */
export function writeSlots(rings: Rings, { slots, now, before }: SlotChanges): void {
	const [first] = slots;
	if (first === undefined) return;
	for (let i = 0; i < slots.length; i++) rings.before[slots[i] as number] = before[i] as number;
	// On every CPU, this store becomes visible only after those before it.
	Atomics.store(rings.now, first, now[0] as number);
	for (let i = 1; i < slots.length; i++) rings.now[slots[i] as number] = now[i] as number;
}

/** True if any slot is in transition. */
export function isInTransition({ now }: Rings): boolean {
	for (let slot = 0; slot < RING_SLOTS; slot++)
		if (((now[slot] as number) & IN_TRANSITION) !== 0) return true;
	return false;
}

/** The number of slots in transition. */
export function slotsInTransition({ now }: Rings): number {
	let count = 0;
	for (let slot = 0; slot < RING_SLOTS; slot++) count += (now[slot] as number) >> 15;
	return count;
}

/** In one pass: the number of slots of each real with a number below `room`, and the number of slots in transition. */
export function useOfRing(
	{ now }: Pick<Rings, "now">,
	room: number,
): { readonly owned: Uint32Array; readonly moving: number } {
	const owned = new Uint32Array(room);
	let moving = 0;
	for (let slot = 0; slot < RING_SLOTS; slot++) {
		const value = now[slot] as number;
		const real = value & NOBODY;
		if (real < room) owned[real] = (owned[real] as number) + 1;
		moving += value >> 15;
	}
	return { owned, moving };
}

/** Reals that any slot refers to, *before* included; their numbers are taken. */
export function referredReals(rings: Rings): ReadonlySet<number> {
	const found = new Uint8Array(NOBODY + 1);
	for (let slot = 0; slot < RING_SLOTS; slot++) {
		const value = rings.now[slot] as number;
		found[value & NOBODY] = 1;
		if ((value & IN_TRANSITION) !== 0) found[rings.before[slot] as number] = 1;
	}
	const reals = new Set<number>();
	for (let real = 0; real < NOBODY; real++) if (found[real] === 1) reals.add(real);
	return reals;
}
