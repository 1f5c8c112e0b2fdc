import assert from "node:assert/strict";
import { test } from "node:test";
import { dscp, parseAddress } from "@l3dsr/packet";
import { lowerService } from "../../src/model/lower-service.ts";
import { ZERO_COUNTERS } from "../../src/model/rule.ts";
import type { RuleEntry } from "../../src/model/ruleset.ts";
import type { DatapathName, ObservedRule } from "../../src/rewrite/datapath.ts";
import { stepsBetween } from "../../src/rewrite/host-datapath.ts";

/** A rule for one DSCP at the place of that number. */
function entry(code: number, localOnly = false): RuleEntry {
	const vip = parseAddress(`192.0.2.${code}`);
	assert(vip !== undefined);
	const service = { name: "x", vip, selection: { dscp: dscp(code) }, clearDscp: false };
	const [rule] = lowerService(service, { table: "raw", localOnly, signed: false });
	assert(rule !== undefined);
	return { rule, ordinal: code };
}

type Held = Partial<Record<DatapathName, readonly RuleEntry[]>>;

/** Datapath by datapath, how many rules each has after its step. */
function order(before: Held, after: Held): string[] {
	const observed = (["nft", "ebpf"] as const).flatMap((datapath) =>
		(before[datapath] ?? []).map((one): ObservedRule => ({ ...one, counters: ZERO_COUNTERS, datapath })),
	);
	const assigned = (["nft", "ebpf"] as const).flatMap((datapath) =>
		(after[datapath] ?? []).map((one) => ({ entry: one, datapath, reason: { kind: "as-before" } as const })),
	);
	return stepsBetween(assigned, observed).map(
		({ datapath, ruleset }) => `${datapath} ${ruleset.entries.length}`,
	);
}

test("the datapath that gains a rule changes before the one that loses it", () => {
	assert.deepEqual(order({ nft: [entry(1)] }, { ebpf: [entry(1)] }), ["ebpf 1", "nft 0"]);
	assert.deepEqual(order({ ebpf: [entry(1)] }, { nft: [entry(1)] }), ["nft 1", "ebpf 0"]);
});

test("so it is with a rule that another one takes the place of", () => {
	assert.deepEqual(order({ nft: [entry(1)] }, { ebpf: [entry(1, true)] }), ["ebpf 1", "nft 0"]);
	assert.deepEqual(order({ ebpf: [entry(1, true)] }, { nft: [entry(1)] }), ["nft 1", "ebpf 0"]);
});

test("where rules go both ways, nft holds what leaves it until the programs have changed", () => {
	assert.deepEqual(order({ nft: [entry(1)], ebpf: [entry(2)] }, { nft: [entry(2)], ebpf: [entry(1)] }), [
		"nft 2",
		"ebpf 1",
		"nft 1",
	]);
	// A rule that is replaced in its place by nft itself cannot stand beside its successor.
	const before = { nft: [entry(1), entry(3)], ebpf: [entry(2)] };
	const after = { nft: [entry(2), entry(3, true)], ebpf: [entry(1)] };
	assert.deepEqual(order(before, after), ["nft 3", "ebpf 1", "nft 2"]);
});
