/** From results to health, and from one check to the next. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
	afterResult,
	assume,
	firstStart,
	type Health,
	nextStart,
	startBeside,
} from "../../../src/balance/checks/health.ts";

const TIMING = { intervalMs: 100, timeoutMs: 80, fall: 3, rise: 2 } as const;

/** `+` is a success, `-` a failure; one each second. */
function run(
	results: string,
	start = assume("healthy", 0),
	timing: Parameters<typeof afterResult>[2] = TIMING,
): Health {
	return [...results].reduce(
		(health, result, n) => afterResult(health, result === "+", timing, (n + 1) * 1000),
		start,
	);
}

for (const [results, healthy, since, what] of [
	["", true, 0, "nothing is known"],
	["--", true, 0, "two failures are not three"],
	["---", false, 3000, "the third failure in a row"],
	["--+--", true, 0, "a success resets the count"],
	["-----", false, 3000, "further failures change nothing"],
	["---+", false, 3000, "one success is not two"],
	["---++", true, 5000, "the second success in a row"],
	["---+-+", false, 3000, "a failure resets the count of successes"],
	["---++---", false, 8000, "down again"],
] as const) {
	test(`fall 3, rise 2, results ${results || "none"}: ${what}`, () => {
		const health = run(results);
		assert.equal(health.state === "healthy", healthy);
		assert.equal(health.since, since);
	});
}

test("a real server that is assumed unhealthy is healthy after its first success", () => {
	const start = assume("failing", 0);
	assert.deepEqual(
		["", "+", "-", "-+", "-++"].map((results) => run(results, start).state === "healthy"),
		[false, true, false, false, true],
	);
});

test("a new one is starting until its first success, whatever came before, and then like any other", () => {
	const start = assume("starting", 0);
	assert.deepEqual(
		["", "-", "----", "+", "----+", "+---", "+---+", "+---++"].map((results) => run(results, start).state),
		["starting", "starting", "starting", "healthy", "healthy", "failing", "failing", "healthy"],
	);
});

const results = fc.string({ unit: fc.constantFrom("+", "-"), maxLength: 40 });
const counts = fc.integer({ min: 1, max: 10 });

test("it is unhealthy exactly if the last run of `fall` failures has no later run of `rise` successes", () => {
	fc.assert(
		fc.property(results, counts, counts, (text, fall, rise) => {
			const downs = [...text.matchAll(new RegExp(`(?=-{${fall}})`, "g"))].map(({ index }) => index + fall);
			const lastDown = downs.at(-1);
			const isUpAgain = lastDown !== undefined && text.slice(lastDown).includes("+".repeat(rise));
			assert.equal(
				run(text, assume("healthy", 0), { ...TIMING, fall, rise }).state === "healthy",
				lastDown === undefined || isUpAgain,
			);
		}),
	);
});

test("at most one of the two counters is not zero, and it counts the latest results", () => {
	fc.assert(
		fc.property(results, (text) => {
			const { failures, successes } = run(text);
			assert.equal(failures, /-*$/.exec(text)?.[0].length);
			assert.equal(successes, /\+*$/.exec(text)?.[0].length);
		}),
	);
});

test("first checks are spread over an interval, and later ones come once an interval on average", () => {
	fc.assert(
		fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (random) => {
			const first = firstStart(1000, TIMING, random);
			assert.ok(first >= 1000 && first <= 1100);
			const health = run("+");
			const next = nextStart({ started: 1000, ended: 1001 }, health, TIMING, random);
			assert.ok(next >= 1095 && next <= 1105, String(next));
		}),
	);
	assert.equal(nextStart({ started: 1000, ended: 1001 }, run("+"), TIMING, 0.5), 1100);
});

test("after a failure it is checked again at the timeout, until it is down; then once an interval", () => {
	assert.equal(nextStart({ started: 1000, ended: 1001 }, run("-"), TIMING, 0.5), 1080);
	assert.equal(nextStart({ started: 1000, ended: 1080 }, run("--"), TIMING, 0.5), 1080);
	assert.equal(nextStart({ started: 1000, ended: 1080 }, run("---"), TIMING, 0.5), 1100);
});

test("after a first failure, the missing checks start in parallel at half of the timeout", () => {
	const beside = (results: string, underWay: number) => startBeside(1000, underWay, run(results), TIMING);
	assert.equal(beside("+", 1), undefined, "nothing has failed");
	assert.equal(beside("-", 1), 1040);
	assert.equal(beside("-", 2), undefined, "two that are under way and a failure make three");
	assert.equal(beside("--", 1), undefined);
	assert.equal(beside("---", 1), undefined, "it is down");
	assert.equal(startBeside(1000, 1, assume("starting", 0), TIMING), undefined);
});

test("a check that ended late does not start two checks at once", () => {
	assert.equal(nextStart({ started: 1000, ended: 5000 }, run("+"), TIMING, 0.5), 5000);
});
