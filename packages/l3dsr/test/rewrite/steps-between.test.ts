import assert from "node:assert/strict";
import { test } from "node:test";
import { dscp, parseAddress } from "@l3dsr/packet";
import { lowerService } from "../../src/model/lower-service.ts";
import { ZERO_COUNTERS } from "../../src/model/rule.ts";
import type { RuleEntry } from "../../src/model/ruleset.ts";
import type { DatapathName, ObservedRule } from "../../src/rewrite/datapath.ts";
import { stepsBetween } from "../../src/rewrite/steps-between.ts";
import { parseRuleSpec } from "../../src/syntax/iptables/rule-parser.ts";

/** A rule for one DSCP at the place with that number. */
function entry(code: number, localOnly = false): RuleEntry {
	const vip = parseAddress(`192.0.2.${code}`);
	assert(vip !== undefined);
	const service = { name: "x", vip, selection: { dscp: dscp(code) }, clearDscp: false };
	const [rule] = lowerService(service, { table: "raw", localOnly, signed: false });
	assert(rule !== undefined);
	return { rule, ordinal: code };
}

/** The same with a port set. */
function setPort(code: number): RuleEntry {
	const spec = `-i eth0 -p tcp -m dscp --dscp ${code} -m tcp --dport 80 -j DADDR --set-daddr 192.0.2.${code} --set-dport 8080`;
	return {
		rule: parseRuleSpec(spec, { family: "ipv4", table: "raw", chain: "PREROUTING" }),
		ordinal: code,
	};
}

type Held = Partial<Record<DatapathName, readonly RuleEntry[]>>;

/** For each datapath in order, the number of its rules after its step. */
function order(before: Held, after: Held): string[] {
	const observed = (["nft", "ebpf"] as const).flatMap((datapath) =>
		(before[datapath] ?? []).map((one): ObservedRule => ({ ...one, counters: ZERO_COUNTERS, datapath })),
	);
	const assigned = (["nft", "ebpf"] as const).flatMap((datapath) =>
		(after[datapath] ?? []).map((one) => ({ entry: one, datapath, reason: { kind: "as-before" } as const })),
	);
	return stepsBetween(assigned, observed).map((step) => {
		const answered = step.datapath === "nft" ? step.answered.map(({ target }) => target.daddr.text) : [];
		const back = answered.length === 0 ? "" : `, answers of ${answered.join(" and ")}`;
		return `${step.datapath} ${step.entries.length}${back}`;
	});
}

test("the datapath that gains a rule changes before the one that loses it", () => {
	assert.deepEqual(order({ nft: [entry(1)] }, { ebpf: [entry(1)] }), ["ebpf 1", "nft 0"]);
	assert.deepEqual(order({ ebpf: [entry(1)] }, { nft: [entry(1)] }), ["nft 1", "ebpf 0"]);
});

test("the same order applies to a rule that another one replaces", () => {
	assert.deepEqual(order({ nft: [entry(1)] }, { ebpf: [entry(1, true)] }), ["ebpf 1", "nft 0"]);
	assert.deepEqual(order({ ebpf: [entry(1, true)] }, { nft: [entry(1)] }), ["nft 1", "ebpf 0"]);
});

test("if rules move in both directions, nft keeps its leaving rules until the programs have changed", () => {
	assert.deepEqual(order({ nft: [entry(1)], ebpf: [entry(2)] }, { nft: [entry(2)], ebpf: [entry(1)] }), [
		"nft 2",
		"ebpf 1",
		"nft 1",
	]);
	// A rule that nft itself replaces in place cannot exist beside its successor.
	const before = { nft: [entry(1), entry(3)], ebpf: [entry(2)] };
	const after = { nft: [entry(2), entry(3, true)], ebpf: [entry(1)] };
	assert.deepEqual(order(before, after), ["nft 3", "ebpf 1", "nft 2"]);
});

test("answers of a program's rule are translated before it is added, and until it is gone", () => {
	const [one, two, three] = [setPort(1), setPort(2), setPort(3)];
	assert.deepEqual(order({}, { ebpf: [one] }), [
		"nft 0, answers of 192.0.2.1",
		"ebpf 1",
		"nft 0, answers of 192.0.2.1",
	]);
	assert.deepEqual(order({ ebpf: [one] }, { ebpf: [one] }), ["ebpf 1", "nft 0, answers of 192.0.2.1"]);
	assert.deepEqual(order({ ebpf: [one], nft: [entry(5)] }, {}), ["ebpf 0", "nft 0"]);
	assert.deepEqual(order({ ebpf: [one] }, { ebpf: [two] }), [
		"nft 0, answers of 192.0.2.2 and 192.0.2.1",
		"ebpf 1",
		"nft 0, answers of 192.0.2.2",
	]);
	// From nft to a program: nft keeps the rule, and the translation of its answers, until the program has
	// it.
	assert.deepEqual(order({ nft: [one] }, { ebpf: [one] }), [
		"nft 1, answers of 192.0.2.1",
		"ebpf 1",
		"nft 0, answers of 192.0.2.1",
	]);
	assert.deepEqual(order({ ebpf: [one] }, { nft: [one] }), [
		"nft 1, answers of 192.0.2.1",
		"ebpf 0",
		"nft 1",
	]);
	assert.deepEqual(order({ nft: [one], ebpf: [two] }, { nft: [two], ebpf: [one, three] }), [
		"nft 2, answers of 192.0.2.1 and 192.0.2.3 and 192.0.2.2",
		"ebpf 2",
		"nft 1, answers of 192.0.2.1 and 192.0.2.3",
	]);
});
