/** Replaces the program under traffic. `make soak` runs the long form: L3DSR_SOAK_SECONDS=10. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns } from "../../../../../test/support/netns.ts";
import { EbpfDatapath } from "../../../src/rewrite/ebpf/kernel/ebpf.ts";
import {
	assertEachCounted,
	assertEachRewritten,
	bothFamilies,
	byCodes,
	LOADED_INTERFACE,
	ordinalOf,
	replaceUnderLoad,
	type Sketch,
} from "../../packets/replacements.ts";
import { setRules } from "../set-rules.ts";

enterNetns();
failOnLeaks();

const SECONDS = Number(process.env["L3DSR_SOAK_SECONDS"] ?? 2);
const REPLACEMENTS_PER_SECOND = 200;

const rules = (sketches: readonly Sketch[]) => bothFamilies(sketches, `-i ${LOADED_INTERFACE}`);

/** Each rewrites all four codes, and the rule of the last code is the same in all: its counter continues. */
const RULESETS = [
	rules(byCodes([0, 1, 0, 0])),
	rules(byCodes([1, 0, 1, 0])),
	// One more DSCP, so that the program's code changes too.
	rules([...byCodes([0, 1, 0, 0]), [ordinalOf(8), "-m dscp --dscp 9 -j DADDR --set-daddr {1}"]]),
	// A rule before the others, so that none is a table lookup.
	rules([[1, "-s {nobody} -j DADDR --set-daddr {1}"], ...byCodes([1, 0, 1, 0])]),
];

for (const hook of ["tcx", "clsact"] as const) {
	test(`up to ${REPLACEMENTS_PER_SECOND} replacements a second at ${hook} under 50,000 packets a second: each packet is rewritten completely and counted`, async (t: TestContext) => {
		const datapath = new EbpfDatapath({ hook, openChecksums: "refuse", localPrefixes: async () => [] });
		const outcome = await replaceUnderLoad({
			perSecond: REPLACEMENTS_PER_SECOND,
			seconds: SECONDS,
			atLeast: RULESETS.length,
			replace: (turn) => setRules(datapath, { entries: RULESETS[turn % RULESETS.length] ?? [] }),
			observe: () => datapath.observe(),
		});
		t.diagnostic(outcome.summary);
		assertEachRewritten(outcome);
		assertEachCounted(outcome);
	});
}

test("moves between the hooks under 50,000 packets a second: each packet is rewritten completely, and no counter misses one", async (t: TestContext) => {
	const hooks = ["tcx", "xdp", "clsact", "xdp-generic"] as const;
	const at = (turn: number) =>
		new EbpfDatapath({
			hook: hooks[turn % hooks.length] ?? "tcx",
			openChecksums: "accept",
			localPrefixes: async () => [],
		});
	let last = at(0);
	const outcome = await replaceUnderLoad({
		perSecond: 20,
		seconds: SECONDS,
		atLeast: hooks.length,
		replace: (turn) => {
			last = at(turn);
			return setRules(last, { entries: RULESETS[0] ?? [] });
		},
		observe: () => last.observe(),
	});
	t.diagnostic(outcome.summary);
	assertEachRewritten(outcome);
	// For a moment a packet meets the program at both hooks, and each counts it.
	for (const { rule, ordinal, counters } of outcome.observed.rules) {
		const sent = outcome.cameWithLastCode[rule.family === "ipv4" ? 0 : 1] ?? 0;
		const counted = Number(counters.packets);
		assert.ok(
			counted >= sent && counted <= 2 * sent,
			`rule ${ordinal} counted ${counted} of ${sent} packets`,
		);
	}
});
