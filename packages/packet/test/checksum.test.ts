import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { foldSum, replaceInChecksum, sumOfWords } from "../src/checksum.ts";

const evenBytes = fc.array(fc.tuple(fc.nat(255), fc.nat(255)), { minLength: 1, maxLength: 20 });

/** The full computation, with which the incremental update must agree. */
function fullChecksum(bytes: number[]): number {
	return ~foldSum(sumOfWords(bytes)) & 0xffff;
}

test("the incremental update equals the full recomputation", () => {
	fc.assert(
		fc.property(evenBytes, evenBytes, evenBytes, (rest, before, after) => {
			const same = Math.min(before.length, after.length);
			const old = before.slice(0, same).flat();
			const now = after.slice(0, same).flat();
			const full = fullChecksum([...rest.flat(), ...now]);
			const updated = replaceInChecksum(fullChecksum([...rest.flat(), ...old]), old, now);
			// Only for a sum of zero does the full computation give the other representation of zero.
			assert.equal(updated, full === 0xffff ? 0 : full);
		}),
	);
});

test("a checksum that is wrong by some amount stays wrong by that amount", () => {
	fc.assert(
		fc.property(evenBytes, fc.integer({ min: 1, max: 0xfffe }), (bytes, error) => {
			const old = bytes.flat();
			const now = old.map((byte) => byte ^ 0x5a);
			const wrong = foldSum(fullChecksum(old) + error);
			assert.notEqual(replaceInChecksum(wrong, old, now) % 0xffff, fullChecksum(now) % 0xffff);
		}),
	);
});

test("both representations of zero update to the same checksum", () => {
	assert.equal(
		replaceInChecksum(0, [0x12, 0x34], [0x56, 0x78]),
		replaceInChecksum(0xffff, [0x12, 0x34], [0x56, 0x78]),
	);
	assert.equal(replaceInChecksum(0xffff, [0, 0], [0, 0]), 0);
});

test("RFC 1624, section 4: the example in which equation 2 fails gives 0x0000", () => {
	assert.equal(replaceInChecksum(0xdd2f, [0x55, 0x55], [0x32, 0x85]), 0x0000);
});
