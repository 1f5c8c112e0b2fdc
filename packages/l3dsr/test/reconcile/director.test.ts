/** The director as a part of the host, beside an agent that writes the same tables. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns } from "../../../../test/support/netns.ts";
import { Director } from "../../src/balance/kernel/director.ts";
import { observedDirector } from "../../src/reconcile/director.ts";
import { DIRECTOR, fleetOf, real, SETTINGS, Wire } from "../balance/wire.ts";

enterNetns();
failOnLeaks();

const check = { type: "tcp", intervalMs: 100, timeoutMs: 80, fall: 2, rise: 2 } as const;

test("a health that the agent writes while a plan is made is not a difference", async () => {
	using _wire = new Wire(10);
	const fleet = fleetOf([real(1), real(2)], {}, { check });
	using agent = Director.open({ checked: true });
	agent.apply(
		agent.wishFor(fleet, () => "healthy"),
		SETTINGS,
	);
	let interrupted = 0;
	const observed = observedDirector(
		{
			openDirector: async () => {
				const director = Director.open({ checked: true });
				const wishFor = director.wishFor.bind(director);
				director.wishFor = (...args) => {
					const wish = wishFor(...args);
					if (interrupted++ === 0) {
						agent.apply(
							agent.wishFor(fleet, (_service, _pool, name) => (name === "r1" ? "failing" : "healthy")),
							SETTINGS,
						);
					}
					return wish;
				};
				return director;
			},
		},
		[DIRECTOR],
	);
	assert.equal(await observed.plan({ fleet, settings: SETTINGS, held: [], rulesAt: "tc" }), undefined);
	assert.equal(interrupted, 2, "the plan was made again");
	agent.detach();
});
