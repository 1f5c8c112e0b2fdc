import assert from "node:assert/strict";
import { it } from "node:test";
import { enterNetns, run } from "../../../../../test/support/netns.ts";
import { type ProgramRunner, systemPrograms } from "../../../src/host/process.ts";
import type { RuleEntry } from "../../../src/model/ruleset.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { setRules } from "../set-rules.ts";

enterNetns();

const real = systemPrograms(process.env);
/** An nft of another version: it lists the same rules in other words. */
const other: ProgramRunner & { batches: number } = {
	batches: 0,
	async run(program, args, options) {
		if (program === "nft" && args[0] === "-f") this.batches++;
		const result = await real.run(program, args, options);
		const stdout = result.stdout
			.replaceAll(
				'{"payload": {"protocol": "ip", "field": "dscp"}}',
				'{"&": [{"payload": {"base": "nh"}}, 252]}',
			)
			.replaceAll('{"return": null}', '{"verdict": "return"}');
		return { ...result, stdout };
	},
};

const entries: RuleEntry[] = [
	"-m dscp --dscp 1 -j DADDR --set-daddr 10.0.0.1",
	"-m dscp --dscp 2 -j DADDR --set-daddr 10.0.0.2",
	"-m dscp ! --dscp 3 -j DADDR --set-daddr 10.0.0.3",
].map((spec, index) => ({
	rule: parseRuleSpec(spec, { family: "ipv4", table: "raw", chain: "PREROUTING" }),
	ordinal: (index + 1) * 1024,
}));

it("an nft that lists rules in another way is asked how, and then understood", async () => {
	const nft = new NftDatapath(other);
	await setRules(nft, { entries });
	const observed = await nft.observe();
	assert.deepEqual(observed.findings, []);
	assert.deepEqual(
		observed.rules.map(({ rule, ordinal }) => ({ rule, ordinal })),
		entries,
	);
	other.batches = 0;
	await observed.change({ entries });
	assert.equal(other.batches, 0, "nothing is to be changed");
	run("nft", "insert rule ip l3dsr raw_PREROUTING ip dscp 9 return");
	const { findings } = await nft.observe();
	assert.equal(findings.length, 1);
	assert.match(findings[0]?.problem ?? "", /was not written by l3dsr/);
});
