/** Which real servers of a pool take packets, by states, weights, health and floor. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Pool, type Real, type RealHealth, usePool } from "../../src/model/fleet.ts";

const real = (name: string, more: Partial<Real> = {}): Real => ({
	name,
	addresses: [],
	weight: 1,
	state: "enabled",
	...more,
});
const pool = (reals: readonly Real[], floor = 0.5): Pool => ({ name: "front", reals, drainMs: 1000, floor });

/** `serving/carrying`, and whether the pool is below its floor; one letter for each real server. */
function used(one: Pool, health: Readonly<Record<string, RealHealth>>): string {
	const { serves, carries, belowFloor } = usePool(
		one,
		one.reals.map(({ name }) => health[name] ?? "healthy"),
	);
	const letters = (which: readonly boolean[]) =>
		one.reals
			.filter((_, n) => which[n])
			.map(({ name }) => name)
			.join("");
	return `${letters(serves)}/${letters(carries)}${belowFloor ? " floor" : ""}`;
}

const FOUR = pool(["a", "b", "c", "d"].map((name) => real(name)));

test("a real server with a failing check takes nothing", () => {
	assert.equal(used(FOUR, {}), "abcd/abcd");
	assert.equal(used(FOUR, { a: "failing", b: "failing" }), "cd/cd");
});

test("if fewer are healthy than the floor requires, failing ones are used too", () => {
	assert.equal(used(FOUR, { a: "failing", b: "failing", c: "failing" }), "abcd/abcd floor");
	assert.equal(used(pool(FOUR.reals, 0), { a: "failing", b: "failing", c: "failing", d: "failing" }), "/");
});

test("a starting one takes nothing, even below the floor, and does not count towards it", () => {
	assert.equal(used(FOUR, { c: "starting", d: "starting" }), "ab/ab");
	// Of two known ones, one is half; of four, it would be too few.
	assert.equal(used(FOUR, { b: "failing", c: "starting", d: "starting" }), "a/a");
	assert.equal(used(FOUR, { a: "failing", b: "failing", c: "starting" }), "abd/abd floor");
});

test("if all are starting, all are used", () => {
	assert.equal(used(FOUR, { a: "starting", b: "starting", c: "starting", d: "starting" }), "abcd/abcd");
});

test("draining ones and those without weight keep their flows, and disabled ones take nothing", () => {
	const reals = [
		real("a"),
		real("b", { state: "drain" }),
		real("c", { weight: 0 }),
		real("d", { state: "disabled" }),
	];
	assert.equal(used(pool(reals), {}), "a/abc");
	assert.equal(used(pool(reals), { b: "failing" }), "a/ac");
});
