import assert from "node:assert/strict";
import { test } from "node:test";
import { difference, interleave, midmean, ratio, spreadOf } from "../../bench/measure.ts";

test("candidates are measured in turn, once uncounted, and give one figure per round", async () => {
	const order: string[] = [];
	const candidate = (name: string, values: number[]) => ({
		name,
		measure() {
			order.push(name);
			return values.shift() ?? Number.NaN;
		},
	});
	const measured = await interleave([candidate("a", [99, 1, 3, 5, 7]), candidate("b", [99, 2, 2, 4, 4])], {
		rounds: 2,
		samples: 2,
	});
	assert.equal(order.join(""), "ababababab");
	assert.deepEqual(
		[...measured],
		[
			["a", [2, 6]],
			["b", [2, 4]],
		],
	);
});

test("a round ignores its extreme samples, and the spread of rounds does not", () => {
	assert.equal(midmean([10, 12, 1000, 11, 0, 12, 11, 13]), 11.5);
	assert.deepEqual(spreadOf([3, 1, 9]), { median: 3, min: 1, max: 9 });
	assert.deepEqual(spreadOf([4, 1, 9, 2]), { median: 3, min: 1, max: 9 });
	assert.throws(() => spreadOf([]), RangeError);
});

test("differences and ratios are computed within a round", () => {
	assert.deepEqual(difference([10, 20], [1, 2]), [9, 18]);
	assert.deepEqual(ratio([10, 20], [5, 5]), [2, 4]);
	assert.throws(() => ratio([1, 2], [1]), RangeError);
});
