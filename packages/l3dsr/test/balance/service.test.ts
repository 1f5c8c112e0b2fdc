/** A fleet as services, of which an earlier result is at hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { lowerFleet } from "../../src/balance/service.ts";
import type { HealthOf } from "../../src/model/director.ts";
import type { RealHealth } from "../../src/model/fleet.ts";
import { fleetOf, real } from "./wire.ts";

const HEALTHS: readonly RealHealth[] = ["healthy", "failing", "starting"];

interface State {
	readonly numbers: readonly number[];
	readonly weights: readonly number[];
	readonly ipv4Only: readonly boolean[];
	readonly healths: readonly RealHealth[];
}

const ofEach = <T>(one: fc.Arbitrary<T>) => fc.array(one, { minLength: 6, maxLength: 6 });
const state: fc.Arbitrary<State> = fc.record({
	numbers: fc.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: 1 }),
	weights: ofEach(fc.constantFrom(0, 1, 5)),
	ipv4Only: ofEach(fc.boolean()),
	healths: ofEach(fc.constantFrom(...HEALTHS)),
});

const healthOf =
	({ healths }: State): HealthOf =>
	(_service, _pool, name) =>
		healths[Number(name.slice(1)) - 1] ?? "healthy";

function fleetIn({ numbers, weights, ipv4Only }: State) {
	const reals = numbers.map((n) => {
		const own = { ...real(n + 1), weight: weights[n] ?? 1 };
		return ipv4Only[n] ? { ...own, addresses: own.addresses.filter(({ family }) => family === "ipv4") } : own;
	});
	return fleetOf(reals, {}, { check: { type: "tcp", intervalMs: 100, timeoutMs: 50, fall: 2, rise: 2 } });
}

test("property: a fleet gives the same services whatever an earlier fleet was", () => {
	fc.assert(
		fc.property(state, state, (before, now) => {
			const earlier = lowerFleet(fleetIn(before), healthOf(before));
			const fleet = fleetIn(now);
			assert.deepEqual(lowerFleet(fleet, healthOf(now), earlier), lowerFleet(fleet, healthOf(now)));
		}),
	);
});

test("a change of health makes only that real server anew", () => {
	const reals = [real(1), real(2), real(3)];
	const fleet = fleetOf(
		reals,
		{},
		{ check: { type: "tcp", intervalMs: 100, timeoutMs: 50, fall: 2, rise: 2 } },
	);
	const before = lowerFleet(fleet);
	const after = lowerFleet(fleet, (_service, _pool, name) => (name === "r2" ? "failing" : "healthy"), before);
	after.services.forEach((service, n) => {
		const kept = service.reals
			.filter((one) => before.services[n]?.reals.includes(one))
			.map(({ name }) => name);
		assert.deepEqual(kept, ["r1", "r3"]);
	});
});
