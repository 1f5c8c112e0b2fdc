import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { runs } from "../../../../test/support/property-runs.ts";
import { NOBODY, RING_SLOTS } from "../../src/balance/ring.ts";
import {
	emptyRings,
	endTransition,
	IN_TRANSITION,
	moveRing,
	type Rings,
	referredReals,
	slotsInTransition,
	writeSlots,
} from "../../src/balance/transition.ts";

const all = (real: number) => new Uint16Array(RING_SLOTS).fill(real);
const everybody = [1, 2, 3, 4];
const allBut = (dead: number) => everybody.filter((real) => real !== dead);

/** Rings in which every slot has had `real` for a long time. */
function settled(real: number): Rings {
	const rings = emptyRings();
	writeSlots(rings, moveRing(rings, all(real), everybody).changes);
	return rings;
}

/** Moves every slot to `real`; `carries`: the real servers that still have flows. */
function move(rings: Rings, real: number, carries: Iterable<number> = everybody) {
	const change = moveRing(rings, all(real), carries);
	writeSlots(rings, change.changes);
	return change;
}

const slot0 = ({ now, before }: Rings) => ({
	real: (now[0] ?? 0) & NOBODY,
	isMoving: ((now[0] ?? 0) & IN_TRANSITION) !== 0,
	before: before[0],
});

test("the slots of a new service are not in transition", () => {
	assert.deepEqual(slot0(settled(3)), { real: 3, isMoving: false, before: NOBODY });
});

test("a planned change puts slots into transition and keeps their previous real server", () => {
	const rings = settled(1);
	const change = move(rings, 2);
	assert.equal(change.begins, true);
	assert.equal(change.changes.slots.length, RING_SLOTS);
	assert.deepEqual(slot0(rings), { real: 2, isMoving: true, before: 1 });
});

test("a death needs no transition", () => {
	const rings = settled(1);
	const change = move(rings, 2, allBut(1));
	assert.equal(change.begins, false);
	assert.deepEqual(slot0(rings), { real: 2, isMoving: false, before: NOBODY });
});

test("a second change during a transition keeps the oldest real server that has flows", () => {
	const rings = settled(1);
	move(rings, 2);
	move(rings, 3);
	assert.deepEqual(slot0(rings), { real: 3, isMoving: true, before: 1 });
	move(rings, 4, allBut(1));
	assert.deepEqual(slot0(rings), { real: 4, isMoving: true, before: 3 });
});

test("a death during a transition leaves the slot in transition, because flows that began in it have entries", () => {
	const rings = settled(1);
	move(rings, 2);
	move(rings, 3, [3]);
	assert.deepEqual(slot0(rings), { real: 3, isMoving: true, before: 2 });
});

test("a change back puts the slot into transition again, and the end of the drain ends it", () => {
	const rings = settled(1);
	move(rings, 2);
	move(rings, 1);
	assert.deepEqual(slot0(rings), { real: 1, isMoving: true, before: 1 });
	assert.equal(slotsInTransition(rings), RING_SLOTS);
	writeSlots(rings, endTransition(rings));
	assert.equal(slot0(rings).isMoving, false);
	assert.equal(endTransition(rings).slots.length, 0);
});

test("if the last real server drains, its flows stay with it", () => {
	const rings = settled(1);
	move(rings, NOBODY);
	assert.deepEqual(slot0(rings), { real: NOBODY, isMoving: true, before: 1 });
});

test("without a memory of flows no slot is ever in transition", () => {
	const rings = settled(1);
	const { changes, begins } = moveRing(rings, all(2), everybody, false);
	writeSlots(rings, changes);
	assert.equal(begins, false);
	assert.equal(slotsInTransition(rings), 0);
});

test("a change to the current state changes nothing", () => {
	const rings = settled(1);
	move(rings, 2);
	assert.equal(move(rings, 2).changes.slots.length, 0);
});

test("after any changes the rings have the latest state, and refer only to configured real servers", () => {
	fc.assert(
		fc.property(fc.array(fc.tuple(fc.nat(5), fc.nat(63)), { minLength: 1, maxLength: 8 }), (steps) => {
			const rings = emptyRings();
			for (const [real, carriers] of steps)
				move(
					rings,
					real,
					[0, 1, 2, 3, 4, 5].filter((one) => ((carriers >> one) & 1) !== 0),
				);
			const [last = 0] = steps.at(-1) ?? [];
			assert.equal(slot0(rings).real, last);
			for (const real of referredReals(rings)) assert.ok(steps.some(([asked]) => asked === real));
		}),
		{ numRuns: runs(30) },
	);
});
