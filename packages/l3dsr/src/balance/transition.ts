/**
 * What happens to slots that change: a slot in transition remembers the real that it had *before*, so that flows that
 * began there stay there until the drain is over (the idea of JET, CoNEXT 2021, applied to Maglev's slots).
 */
import { NOBODY, RING_SLOTS } from "./maglev.ts";

/** In a slot of the ring: it is in transition. */
export const IN_TRANSITION = 0x8000;

/** The two rings of a service as the program reads them. */
export interface Rings {
	/** The real of each slot, with IN_TRANSITION. */
	readonly now: Uint16Array;
	/** The real of each slot before the transition; read only where it is in one. */
	readonly before: Uint16Array;
}

/** One slot to write. `before` first: it is not read until the bit is set. */
export interface SlotChange {
	readonly slot: number;
	readonly now: number;
	readonly before: number;
}

export interface RingChange {
	readonly changes: readonly SlotChange[];
	/** Some slot begins a transition, or goes on with one that it is in: the service's drain begins anew. */
	readonly begins: boolean;
	/** Slots whose real changes. */
	readonly moved: number;
}

/** A ring in which nobody has a slot: a service that has just been made. */
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
	carries: (real: number) => boolean,
	remember = true,
): RingChange {
	const changes: SlotChange[] = [];
	let begins = false;
	let moved = 0;
	for (let slot = 0; slot < RING_SLOTS; slot++) {
		const value = rings.now[slot] as number;
		const from = value & NOBODY;
		const to = target[slot] as number;
		if (from === to) continue;
		moved++;
		const before = rings.before[slot] as number;
		const isMoving = (value & IN_TRANSITION) !== 0;
		const isAlive = (real: number) => real !== NOBODY && carries(real);
		const oldest = isMoving && isAlive(before) ? before : from;
		// A transition that is under way goes on even if nobody is left to go back to: others have entries here.
		const remembers = remember && (isMoving || isAlive(from));
		if (remembers) begins = true;
		changes.push({ slot, now: to | (remembers ? IN_TRANSITION : 0), before: remembers ? oldest : before });
	}
	return { changes, begins, moved };
}

/** Every slot that is in transition, as it is after the drain. */
export function endTransition(rings: Rings): readonly SlotChange[] {
	const changes: SlotChange[] = [];
	for (let slot = 0; slot < RING_SLOTS; slot++) {
		const value = rings.now[slot] as number;
		if ((value & IN_TRANSITION) === 0) continue;
		changes.push({ slot, now: value & NOBODY, before: rings.before[slot] as number });
	}
	return changes;
}

/** Writes changes in the order that keeps every moment right. */
export function writeSlots(rings: Rings, changes: readonly SlotChange[]): void {
	for (const { slot, before } of changes) Atomics.store(rings.before, slot, before);
	for (const { slot, now } of changes) Atomics.store(rings.now, slot, now);
}

/** Slots in transition. */
export function slotsInTransition({ now }: Rings): number {
	let count = 0;
	for (const value of now) if ((value & IN_TRANSITION) !== 0) count++;
	return count;
}

/** Reals that any slot refers to, *before* included: their numbers are taken. */
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
