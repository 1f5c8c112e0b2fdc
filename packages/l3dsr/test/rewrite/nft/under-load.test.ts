/** Replaces the rules under traffic. `make soak` runs the long form: L3DSR_SOAK_SECONDS=10. */
import { type TestContext, test } from "node:test";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns } from "../../../../../test/support/netns.ts";
import type { RuleEntry } from "../../../src/model/ruleset.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import {
	assertEachCounted,
	assertEachRewritten,
	bothFamilies,
	byCode,
	byCodes,
	type Outcome,
	ordinalOf,
	replaceUnderLoad,
	type Sketch,
} from "../../packets/replacements.ts";
import { setRules } from "../set-rules.ts";

enterNetns();
failOnLeaks();

const SECONDS = Number(process.env["L3DSR_SOAK_SECONDS"] ?? 2);
const REPLACEMENTS_PER_SECOND = 20;

type Rulesets = readonly (readonly RuleEntry[])[];

/** Each ruleset rewrites all four codes, and the rule of the last code is the same in all. */
const ELEMENTS: Rulesets = [
	byCodes([0, 1, 0, 0]),
	byCodes([1, 0, 1, 0]),
	byCodes([1, 1, 0, 0]),
	// One more code, which no packet has.
	[...byCodes([0, 1, 0, 0]), [ordinalOf(8), byCode(9, 1)] as const],
].map((sketches) => bothFamilies(sketches));

/** Rules are added and deleted around the lookup, whose elements stay. */
const AROUND: Rulesets = (
	[
		[],
		[[1, "-s {nobody} -j DADDR --set-daddr {1}"]],
		[[ordinalOf(8), "-p tcp -s {nobody} -j DADDR --set-daddr {1}"]],
		[
			[1, "-s {nobody} -j DADDR --set-daddr {0}"],
			[ordinalOf(8), byCode(9, 1, " -m length --length 20:")],
		],
	] satisfies readonly (readonly Sketch[])[]
).map((more) => bothFamilies([...more, ...byCodes([0, 1, 1, 0])]));

/** A single rule, which needs no lookup, gets another beside it that could share one, and loses it. */
const ALONE: Rulesets = [
	[byCode(1, 0)],
	[byCode(1, 0), byCode(9, 1)],
	[byCode(1, 1), byCode(9, 1)],
	[byCode(1, 1)],
].map((specs) =>
	bothFamilies([
		...specs.map((spec, index): Sketch => [index + 1, `-s {sender} ${spec}`]),
		...byCodes([0, 1, 1, 0]).slice(1),
	]),
);

/** Everything changes at once: counters start again if a rule moves between maps, or out of one. */
const STRUCTURES: Rulesets = [
	byCodes([0, 1, 0, 0]),
	// A rule in the middle splits the lookup in two.
	[...byCodes([1, 1, 0, 0]), [ordinalOf(1) + 1, "-s {nobody} -j DADDR --set-daddr {0}"] as const],
	// From the map to a separate rule, and back.
	[
		[1, byCode(2, 0, " -m length --length 20:")] as const,
		...byCodes([0, 0, 1, 0]).filter((_, index) => index !== 1),
	],
	// No map at all.
	[[ordinalOf(0), "-p udp -j DADDR --set-daddr {1}"] as const],
	// Two rules for one code need two maps.
	[...byCodes([0, 1, 0, 1]), [ordinalOf(9), byCode(1, 1)] as const],
].map((sketches) => bothFamilies(sketches));

async function replace(rulesets: Rulesets): Promise<Outcome> {
	const nft = new NftDatapath();
	const outcome = await replaceUnderLoad({
		perSecond: REPLACEMENTS_PER_SECOND,
		seconds: SECONDS,
		atLeast: rulesets.length,
		replace: (turn) => setRules(nft, { entries: rulesets[turn % rulesets.length] ?? [] }),
		observe: () => nft.observe(),
	});
	await setRules(nft, { entries: [] });
	return outcome;
}

const under = `up to ${REPLACEMENTS_PER_SECOND} replacements a second under 50,000 packets a second`;

for (const [what, rulesets] of [
	["of map elements", ELEMENTS],
	["of rules around a lookup", AROUND],
	["of rules by themselves and beside others", ALONE],
] as const) {
	test(`${under}, ${what}: each packet is rewritten completely and counted`, async (t: TestContext) => {
		const outcome = await replace(rulesets);
		t.diagnostic(outcome.summary);
		assertEachRewritten(outcome);
		assertEachCounted(outcome);
	});
}

test(`${under}, of lookups and rules at once: each packet is rewritten completely`, async (t: TestContext) => {
	const outcome = await replace(STRUCTURES);
	t.diagnostic(outcome.summary);
	assertEachRewritten(outcome);
});
