/**
 * Real connections through two directors while everything about the pool changes: only those of a dying real
 * server break. L3DSR_E2E_FLOWS: number of connections; `make soak-end-to-end` has 10,000.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { enterNetns, waitFor } from "../../../../../test/support/netns.ts";
import type { Flow } from "./flow.ts";
import { type Parts, World } from "./world.ts";

enterNetns();

const FLOWS = Number(process.env["L3DSR_E2E_FLOWS"] ?? 400);
const OPTIONS = { apart: FLOWS > 5000 };

/**
 * Every working flow sends a request, which is answered or breaks it; returns the broken ones with their
 * reasons.
 */
async function exercise(flows: readonly Flow[], rounds = 2): Promise<Flow[]> {
	for (let round = 0; round < rounds; round++) {
		for (const flow of flows) flow.ask();
		await waitFor(
			"answers",
			() => flows.every(({ broken, awaited }) => broken !== undefined || awaited === 0),
			60_000,
		).catch(() => {
			for (const flow of flows) if (flow.awaited > 0) flow.broken ??= "no answer";
		});
	}
	return flows.filter(({ broken }) => broken !== undefined);
}

function assertNoneBroken(broken: readonly Flow[], all: readonly Flow[], what: string): void {
	const reasons = [...new Set(broken.map(({ broken: why, real }) => `${why} (real ${real})`))].slice(0, 5);
	assert.equal(
		broken.length,
		0,
		`${broken.length} of ${all.length} broken by ${what}: ${reasons.join("; ")}`,
	);
}

const FOUR: Parts = { 1: {}, 2: {}, 3: {}, 4: {} };
const [, ...THREE] = [1, 2, 3, 4];
const without1: Parts = Object.fromEntries(THREE.map((n) => [n, {}]));

test("established connections survive every planned change", async (t) => {
	await using world = new World([1, 2, 3, 4, 5], OPTIONS);
	const first = world.addDirector(world.fleet(FOUR));
	await world.ready();
	const flows = await world.open(FLOWS);
	assertNoneBroken(await exercise(flows), flows, "nothing");
	assert.deepEqual([...new Set(flows.map(({ real }) => real))].sort(), ["1", "2", "3", "4"]);
	const changes: readonly (readonly [what: string, change: () => void])[] = [
		["a second director", () => void world.addDirector(world.fleet(FOUR))],
		["a real server that is added", () => world.apply({ ...FOUR, 5: {} })],
		["one that is removed", () => world.apply({ ...FOUR })],
		["two changes at once", () => world.apply({ ...without1, 5: { weight: 3 } })],
		["a removed one that comes back", () => world.apply({ ...FOUR, 5: {} })],
		["a drain", () => world.apply({ ...FOUR, 2: { state: "drain" }, 5: {} })],
		["its end", () => world.apply({ ...FOUR, 5: {} })],
		["a weight", () => world.apply({ ...FOUR, 3: { weight: 7 }, 5: {} })],
		[
			"a restart of the process in a transition",
			() => {
				assert.ok(first.slotsInTransition > 0);
				first.restart();
				world.apply({ ...FOUR, 3: { weight: 7 }, 5: {} });
			},
		],
	];
	for (const [what, change] of changes) {
		change();
		assertNoneBroken(await exercise(flows), flows, what);
	}
	t.diagnostic(`${flows.length} connections, ${changes.length} changes, 0 broken`);

	await t.test(
		"connections that began in a transition may break when a director dies, and no others",
		async () => {
			const fresh = await world.open(Math.ceil(FLOWS / 4));
			assertNoneBroken(await exercise(fresh, 1), fresh, "nothing");
			const second = world.directors[1];
			assert.ok(second !== undefined);
			world.removeDirector(second);
			assertNoneBroken(await exercise(flows), flows, "a director that died");
			const broken = await exercise(fresh);
			t.diagnostic(
				`${broken.length} of ${fresh.length} connections of the transition broken by the other director's death`,
			);
			assert.ok(broken.length < fresh.length / 2, `${broken.length} of ${fresh.length}`);
			for (const flow of fresh) flow[Symbol.dispose]();
		},
	);
	for (const flow of flows) flow[Symbol.dispose]();
});

test("a real server's death breaks only its own connections, and these end quickly", async (t) => {
	await using world = new World([1, 2, 3, 4], OPTIONS);
	world.addDirector(world.fleet(FOUR));
	world.addDirector(world.fleet(FOUR));
	await world.ready();
	const flows = await world.open(FLOWS);
	world.reals.get(2)?.fallSilent();
	world.apply(FOUR, [2]);
	const broken = await exercise(flows);
	assert.deepEqual([...new Set(broken.map(({ real }) => real))], ["2"]);
	assert.equal(broken.length, flows.filter(({ real }) => real === "2").length);
	assert.deepEqual(
		[...new Set(broken.map(({ broken: why }) => why))],
		["read ECONNRESET"],
		"the substitute resets them: nobody waits for a timeout",
	);
	const alive = flows.filter((flow) => !broken.includes(flow));
	world.reals.get(2)?.speakAgain();
	world.apply(FOUR);
	assertNoneBroken(await exercise(alive), alive, "a recovery");
	t.diagnostic(`${broken.length} of ${flows.length} connections broken, all of the dead real server`);
	for (const flow of flows) flow[Symbol.dispose]();
});
