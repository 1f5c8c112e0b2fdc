/** The health of real servers that a process reads from the tables. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { lowerFleet } from "../../src/balance/service.ts";
import { healthInTables } from "../../src/balance/tables/health-in-tables.ts";
import type { CurrentService } from "../../src/balance/tables/state.ts";
import type { Check, Fleet, Real, RealHealth } from "../../src/model/fleet.ts";
import { fleetOf, real } from "./wire.ts";

const CHECK: Check = { type: "tcp", intervalMs: 1000, timeoutMs: 500, fall: 3, rise: 2 };
const fleet = (reals: readonly Real[]): Fleet => fleetOf(reals, {}, { check: CHECK });

/** The tables of these real servers, by number, in every service of the fleet. */
function tablesOf(
	reals: Readonly<Record<number, { readonly up: boolean; readonly health: RealHealth }>>,
): CurrentService[] {
	const numbers = Object.keys(reals).map(Number);
	return lowerFleet(fleet(numbers.map((n) => real(n)))).services.map((service, number) => ({
		...service,
		number,
		first: 32 + 8 * number,
		room: 8,
		since: 0,
		changed: 0,
		reals: service.reals.map(({ address }, index) => ({
			index,
			entry: {
				address,
				dscp: service.dscp,
				hop: { to: "unresolved" },
				base: { packets: 0n, bytes: 0n },
				...(reals[numbers[index] ?? 0] ?? { up: true, health: "healthy" }),
			},
		})),
	}));
}

/** The health of each real server, which is the same in all of its services. */
function healths(reals: readonly Real[], current: CurrentService[], checked: boolean): string {
	const wanted = fleet(reals);
	const healthOf = healthInTables(wanted, current, { checked });
	return reals
		.map(({ name }) =>
			[...new Set(lowerFleet(wanted).services.map((one) => healthOf(one, "front", name)))].join("|"),
		)
		.join(" ");
}

const UP = { up: true, health: "healthy" } as const;
const three = [real(1), real(2), real(3)];

test("a director that starts knows no results, and uses all real servers at once", () => {
	assert.equal(healths(three, [], true), "healthy healthy healthy");
});

test("an added real server is starting if it is checked, and used if it is not", () => {
	assert.equal(healths(three, tablesOf({ 1: UP, 2: UP }), true), "healthy healthy starting");
	assert.equal(healths(three, tablesOf({ 1: UP, 2: UP }), false), "healthy healthy healthy");
	const known = tablesOf({
		1: UP,
		2: { up: false, health: "failing" },
		3: { up: false, health: "starting" },
	});
	assert.equal(healths(three, known, true), "healthy failing starting");
	assert.equal(healths(three, known, false), "healthy failing healthy", "nobody would ever let it in");
});

test("a real server that is enabled again is starting, because its results are no longer known", () => {
	const disabled = tablesOf({ 1: UP, 2: UP, 3: { up: false, health: "healthy" } });
	assert.equal(healths(three, disabled, true), "healthy healthy starting");
	assert.equal(
		healths([real(1), real(2), real(3, { state: "disabled" })], disabled, true),
		"healthy healthy healthy",
	);
});

test("if a whole pool is replaced, no result is known, and all real servers are used", () => {
	assert.equal(healths(three, tablesOf({ 8: UP, 9: UP }), true), "healthy healthy healthy");
});

test("below the floor, failing real servers are used, but are still reported as failing", () => {
	assert.equal(
		healths(three, tablesOf({ 1: UP, 2: { up: true, health: "failing" } }), true),
		"healthy failing starting",
	);
});

test("without a check no real server waits for one", () => {
	const wanted = fleetOf(three);
	const healthOf = healthInTables(wanted, tablesOf({ 1: UP }), { checked: true });
	for (const service of lowerFleet(wanted).services)
		assert.equal(healthOf(service, "front", "r3"), "healthy");
});
