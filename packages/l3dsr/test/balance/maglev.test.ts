import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { runs } from "../../../../test/support/property-runs.ts";
import { maglevRing, type RingMember, reassign } from "../../src/balance/maglev.ts";
import { NOBODY, RING_SLOTS } from "../../src/balance/ring.ts";

const SEED = 0x1234_5678_9abc_def0n;

function members(count: number, weight: (index: number) => number = () => 1): RingMember[] {
	return Array.from({ length: count }, (_, i) => ({ key: [10, 0, i >> 8, i & 255], weight: weight(i) }));
}

/** The share of slots that differ between two rings. */
function moved(a: Uint16Array, b: Uint16Array): number {
	let count = 0;
	for (let slot = 0; slot < RING_SLOTS; slot++) if (a[slot] !== b[slot]) count++;
	return count / RING_SLOTS;
}

test("every slot has a real server, and with equal weights their shares differ by at most one slot", () => {
	for (const count of [1, 2, 3, 10, 100, 1000]) {
		const counts = slotCounts(maglevRing(members(count), SEED), count);
		assert.equal(counts[count], 0, `${count} reals: slots without a real`);
		const own = counts.slice(0, count);
		assert.ok(
			Math.max(...own) - Math.min(...own) <= 1,
			`${count} reals: ${Math.min(...own)}-${Math.max(...own)}`,
		);
	}
});

test("rings are the same in all versions: an upgrade of l3dsr moves no flow", () => {
	const digest = (ring: Uint16Array) => createHash("sha256").update(ring).digest("hex").slice(0, 16);
	assert.equal(digest(maglevRing(members(1), SEED)), "bdd02c7d1ec88ce6");
	assert.equal(digest(maglevRing(members(4), SEED)), "ebab432e7bfd2782");
	assert.equal(digest(maglevRing(members(1000), SEED)), "b3b4784d3081c004");
	const weighted = members(7, (i) => i * 3);
	assert.equal(digest(maglevRing(weighted, SEED)), "c328a825ed62da93");
	const ring = maglevRing(members(100), SEED);
	assert.equal(digest(ring), "10dce7a34313437c");
	const serves = Array.from({ length: 100 }, (_, i) => i % 10 >= 3);
	assert.equal(digest(reassign(ring, serves, SEED)), "a977213a5479e0fe");
});

test("a real server gets slots in proportion to its weight", () => {
	fc.assert(
		fc.property(fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 20 }), (weights) => {
			const counts = slotCounts(
				maglevRing(
					members(weights.length, (i) => weights[i] ?? 0),
					SEED,
				),
				weights.length,
			);
			const total = weights.reduce((sum, weight) => sum + weight, 0);
			if (total === 0) return counts[weights.length] === RING_SLOTS;
			// Each is off by at most one turn, plus its share of what all of them are off by together.
			return weights.every((weight, i) => {
				const share = weight / total;
				return Math.abs((counts[i] ?? 0) - share * RING_SLOTS) <= 1 + share * weights.length;
			});
		}),
		{ numRuns: runs(30), examples: [[[100, ...Array<number>(19).fill(1)]], [[0, 1, 100]]] },
	);
});

test("the order in which real servers are listed moves no slot", () => {
	const some = members(40, (i) => (i % 4) + 1);
	const other = [...some].reverse();
	const a = maglevRing(some, SEED);
	const b = maglevRing(other, SEED);
	assert.equal(
		moved(
			a,
			b.map((index) => other.length - 1 - index),
		),
		0,
	);
	const down = (list: readonly RingMember[]) =>
		list.map((member) => (Array.from(member.key)[3] ?? 0) % 3 !== 0);
	const ra = reassign(a, down(some), SEED);
	const rb = reassign(b, down(other), SEED);
	assert.equal(
		moved(
			ra,
			rb.map((index) => other.length - 1 - index),
		),
		0,
	);
});

test("an added real server moves little more than its share", () => {
	for (const count of [2, 10, 100]) {
		const share = moved(maglevRing(members(count), SEED), maglevRing(members(count + 1), SEED));
		const ideal = 1 / (count + 1);
		assert.ok(share >= ideal - 0.001 && share < ideal + 0.02, `${count} reals: ${share}, ideally ${ideal}`);
	}
});

test("a real server that goes down moves only its own slots, and gets exactly those back", () => {
	const ring = maglevRing(members(100), SEED);
	const serves = new Array<boolean>(100).fill(true);
	for (const dead of [3, 50, 99, 0]) {
		const before = reassign(ring, serves, SEED);
		serves[dead] = false;
		const after = reassign(ring, serves, SEED);
		for (let slot = 0; slot < RING_SLOTS; slot++) {
			if (before[slot] !== dead) assert.equal(after[slot], before[slot], `slot ${slot} moved`);
			else assert.notEqual(after[slot], dead);
		}
	}
	const before = reassign(ring, serves, SEED);
	serves[50] = true;
	const after = reassign(ring, serves, SEED);
	for (let slot = 0; slot < RING_SLOTS; slot++)
		if (after[slot] !== before[slot]) assert.equal(after[slot], 50, `slot ${slot} moved to another real`);
	assert.equal(
		moved(
			reassign(
				ring,
				serves.map(() => true),
				SEED,
			),
			ring,
		),
		0,
	);
});

test("with 30 of 100 down, the others share their slots evenly", () => {
	const ring = maglevRing(members(100), SEED);
	const serves = Array.from({ length: 100 }, (_, i) => i % 10 >= 3);
	const counts = slotCounts(reassign(ring, serves, SEED), 100).slice(0, 100);
	const up = counts.filter((_, i) => serves[i]);
	assert.ok(counts.every((count, i) => serves[i] || count === 0));
	const fair = RING_SLOTS / 70;
	assert.ok(
		up.every((count) => count > fair * 0.85 && count < fair * 1.15),
		`${Math.min(...up)}-${Math.max(...up)}`,
	);
});

test("substitutes are chosen by weight", () => {
	const ring = maglevRing(
		members(3, (i) => [10, 30, 60][i] ?? 0),
		SEED,
	);
	const counts = slotCounts(reassign(ring, [true, true, false], SEED), 3);
	assert.ok(Math.abs((counts[1] ?? 0) / RING_SLOTS - 0.75) < 0.01, `${counts}`);
});

test("directors agree on every slot, whatever the order of deaths and recoveries that each has seen", () => {
	const ring = maglevRing(
		members(30, (i) => 1 + (i % 3)),
		SEED,
	);
	fc.assert(
		fc.property(
			fc.array(fc.tuple(fc.nat(29), fc.boolean()), { maxLength: 40 }),
			fc.array(fc.tuple(fc.nat(29), fc.boolean()), { maxLength: 40 }),
			fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }),
			(one, other, end) => {
				// Each director follows its own events; in the end all have the same state.
				const follow = (events: readonly (readonly [number, boolean])[]) => {
					const serves = new Array<boolean>(30).fill(true);
					let last = reassign(ring, serves, SEED);
					for (const [real, isUp] of [...events, ...end.map((isUp, real) => [real, isUp] as const)]) {
						serves[real] = isUp;
						last = reassign(ring, serves, SEED);
					}
					return last;
				};
				return moved(follow(one), follow(other)) === 0;
			},
		),
		{ numRuns: runs(5) },
	);
});

test("no slot has a real server if none serves, and all have the same one if only one serves", () => {
	const ring = maglevRing(members(500), SEED);
	assert.ok(reassign(ring, [], SEED).every((owner) => owner === NOBODY));
	const alone = reassign(
		ring,
		Array.from({ length: 500 }, (_, i) => i === 77),
		SEED,
	);
	assert.ok(alone.every((owner) => owner === 77));
	assert.ok(maglevRing([], SEED).every((owner) => owner === NOBODY));
});

/** The number of slots of each member; the last element counts slots without one. */
function slotCounts(ring: Uint16Array, members: number): number[] {
	const counts = new Array<number>(members + 1).fill(0);
	for (const owner of ring) {
		const at = Math.min(owner, members);
		counts[at] = (counts[at] ?? 0) + 1;
	}
	return counts;
}
