/** Plans are kept as long as nothing but counters has changed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DesiredHost } from "../../src/plan/host-state.ts";
import type { ObservedHost } from "../../src/reconcile/observe.ts";
import { PlanMemory } from "../../src/reconcile/plan-memory.ts";
import type { Plan } from "../../src/reconcile/target.ts";

const observed = {
	state: { rules: [], findings: [], addresses: [] },
	snapshot: { rules: [], findings: [], directors: ["eth0"], limited: undefined },
	guard: { held: [], found: [] },
	director: { runsAt: ["eth0"] },
	interfaces: [],
} as unknown as ObservedHost; // nothing more of it is compared
const plan = (steps: readonly unknown[] = []) =>
	({
		observed,
		desired: { director: "none" },
		assignment: {},
		state: observed.state,
		steps,
	}) as unknown as Plan<DesiredHost>;

test("a director's plan is valid as long as its mark is the same", () => {
	const memory = new PlanMemory();
	memory.keep(plan(), "a");
	assert.deepEqual(memory.get(observed, "a")?.steps, []);
	assert.equal(memory.get(observed, "b"), undefined);
	assert.equal(memory.get(observed, undefined), undefined);
});

test("a plan with steps, or with an unreadable director, is made again each time", () => {
	const memory = new PlanMemory();
	memory.keep(plan([{ kind: "director" }]), "a");
	assert.equal(memory.get(observed, "a"), undefined);
	memory.keep(plan(), undefined);
	assert.equal(memory.get(observed, undefined), undefined);
});
