import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Observation } from "../../../src/datapath/datapath.ts";
import { NftDatapath } from "../../../src/datapath/nft/nft.ts";
import { systemPrograms } from "../../../src/host/process.ts";
import { type Rule, ZERO_COUNTERS } from "../../../src/model/rule.ts";
import type { RuleEntry, Ruleset } from "../../../src/model/ruleset.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { arbitraryRuleset } from "../../arbitrary/rule.ts";
import { enterNetns, run } from "../../netns.ts";

enterNetns();

const nft = new NftDatapath(systemPrograms(process.env));

function rule(spec: string, family: Rule["family"] = "ipv4"): Rule {
	return parseRuleSpec(spec, { family, table: "raw", chain: "PREROUTING" });
}

function entries(...specs: readonly string[]): RuleEntry[] {
	return specs.map((spec, index) => ({
		rule: rule(spec, spec.includes(":") ? "ipv6" : "ipv4"),
		ordinal: (index + 1) * 1024,
	}));
}

async function apply(ruleset: Ruleset): Promise<Observation> {
	await nft.apply(ruleset, await nft.observe());
	return await nft.observe();
}

function inOrder(list: readonly RuleEntry[]): RuleEntry[] {
	const place = ({ rule: one, ordinal }: RuleEntry): string =>
		`${one.family} ${one.table === "raw" ? 0 : 1} ${["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"].indexOf(one.chain)} ${String(ordinal).padStart(10, "0")}`;
	return [...list].sort((a, b) => (place(a) < place(b) ? -1 : 1));
}

function assertObserved(observed: Observation, wanted: readonly RuleEntry[]): void {
	assert.deepEqual(observed.findings, []);
	assert.deepEqual(
		inOrder(observed.rules.map(({ rule: one, ordinal }) => ({ rule: one, ordinal }))),
		inOrder(wanted.map(({ rule: one, ordinal }) => ({ rule: one, ordinal }))),
	);
}

describe("NftDatapath", () => {
	it("observes nothing, and makes nothing, where there is no table", async () => {
		assert.deepEqual(await nft.observe(), { rules: [], findings: [] });
		await nft.apply({ entries: [] }, await nft.observe());
		assert.equal(run("nft", "list", "ruleset"), "");
	});

	it("observes what was applied, whatever ruleset was there before", async () => {
		await fc.assert(
			fc.asyncProperty(arbitraryRuleset({ maxLength: 12 }), async (ruleset) => {
				const observed = await apply(ruleset);
				assertObserved(observed, ruleset.entries);
			}),
			{ numRuns: 60 },
		);
		await apply({ entries: [] });
		assert.equal(run("nft", "list", "ruleset"), "");
	});

	it("starts counters where it is told, and at zero otherwise", async () => {
		const [first, second] = entries(
			"-m dscp --dscp 1 -j DADDR --set-daddr 10.0.0.1",
			"-p tcp -m multiport --ports 1,2 -m dscp --dscp 1 -j DADDR --set-daddr 10.0.0.1",
		) as [RuleEntry, RuleEntry];
		const counters = { packets: 2n ** 60n + 1n, bytes: 2n ** 63n + 5n };
		const observed = await apply({
			entries: [
				{ ...first, counters },
				{ ...second, counters },
			],
		});
		assert.deepEqual(
			observed.rules.map((one) => one.counters),
			[counters, counters],
		);
		const kept = await apply({ entries: [first, second] });
		assert.deepEqual(
			kept.rules.map((one) => one.counters),
			[counters, counters],
		);
		const zero = await apply({ entries: [first, { ...second, counters: ZERO_COUNTERS }] });
		assert.deepEqual(
			zero.rules.map((one) => one.counters),
			[counters, ZERO_COUNTERS],
		);
	});
});
