import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { dscp, parseAddress } from "@l3dsr/packet";
import fc from "fast-check";
import { runs } from "../../../../test/support/property-runs.ts";
import { lowerService } from "../../src/model/lower-service.ts";
import type { Rule } from "../../src/model/rule.ts";
import { type AssignmentFacts, assignDatapaths, neverMeet } from "../../src/rewrite/assign.ts";
import { rewriteByRules } from "../../src/rewrite/oracle/oracle.ts";
import { describeReason } from "../../src/rewrite/reason.ts";
import { parseRuleSpec } from "../../src/syntax/iptables/rule-parser.ts";
import { arbitraryMatchingRule, arbitraryPacket, VOCABULARY } from "../packets/arbitrary.ts";
import { macBytes } from "../packets/build.ts";

const IN0 = { name: "in0", wildcard: false, negated: false } as const;

const FACTS: AssignmentFacts = {
	interfaces: new Set(["in0", "eth0"]),
	ebpfMissing: async () => undefined,
	ebpfLacks: () => undefined,
	programLacks: async () => undefined,
};

function assignedOf(facts: AssignmentFacts, ...specs: readonly string[]) {
	const entries = specs.map((text, index) => {
		const mangle = text.startsWith("mangle ");
		const input = text.includes("INPUT ");
		const spec = text.replace("mangle ", "").replace("INPUT ", "");
		const family = spec.includes("::") ? "ipv6" : "ipv4";
		const place = input
			? ({ table: "mangle", chain: "INPUT" } as const)
			: ({ table: mangle ? "mangle" : "raw", chain: "PREROUTING" } as const);
		return { rule: parseRuleSpec(spec, { family, ...place }), ordinal: index };
	});
	return assignDatapaths({ entries }, facts, "auto");
}

const by = (dscp: number, on = "-i in0 "): string =>
	`${on}-m dscp --dscp ${dscp} -j DADDR --set-daddr 10.0.0.1`;

describe("the datapath of a rule", () => {
	for (const [what, spec, datapath, reason] of [
		["with -i of an existing interface", by(1), "ebpf", "its interface in0 is known"],
		["without -i", by(1, ""), "nft", "a rule without -i applies to all interfaces"],
		["with ! -i", by(1, "! -i in0 "), "nft", "-i with ! applies to all other interfaces, present and future"],
		["with -i in+", by(1, "-i in+ "), "nft", "-i in+ includes future interfaces"],
		["with -i of a missing interface", by(1, "-i gone0 "), "nft", "there is no interface gone0 now"],
		["in another chain", `mangle INPUT ${by(1)}`, "nft", "chain INPUT is a netfilter hook after tc ingress"],
		[
			"with a port to set for TCP",
			"-i in0 -p tcp -m tcp --dport 80 -j DADDR --set-daddr 10.0.0.1 --set-dport 8080",
			"ebpf",
			"its interface in0 is known",
		],
		[
			"with a port to set for UDP-Lite",
			"-i in0 -p udplite -m udplite --dport 80 -j DADDR --set-daddr 10.0.0.1 --set-dport 8080",
			"nft",
			"it sets a port, and only nftables translates answers back, for TCP and UDP",
		],
		[
			"written with addrtype",
			"-i in0 -m addrtype --dst-type LOCAL -j DADDR --set-daddr 10.0.0.1",
			"nft",
			"-m addrtype looks up the routing table for each packet",
		],
	] as const) {
		it(`${what}: ${datapath}`, async () => {
			const [only] = (await assignedOf(FACTS, spec)).rules;
			assert.deepEqual([only?.datapath, only && describeReason(only.reason)], [datapath, reason]);
		});
	}

	it("after a rule that stays on nft and could match its packets: nft; with another DSCP or interface: ebpf", async () => {
		const datapaths = async (...specs: readonly string[]) => {
			const { rules } = await assignedOf(FACTS, ...specs);
			return specs.map((_, i) => rules.find(({ entry }) => entry.ordinal === i)?.datapath);
		};
		assert.deepEqual(await datapaths(by(1, ""), by(1)), ["nft", "nft"]);
		assert.deepEqual(await datapaths(by(1, ""), by(2)), ["nft", "ebpf"]);
		assert.deepEqual(await datapaths(by(1), by(1, "")), ["ebpf", "nft"]);
		assert.deepEqual(await datapaths(by(1, "-i gone0 "), by(1)), ["nft", "ebpf"]);
		// raw runs before mangle, whatever the ordinals.
		assert.deepEqual(await datapaths(`mangle ${by(1)}`, by(1, "")), ["nft", "nft"]);
		// After the first rule has cleared the DSCP, a rule for DSCP 0 matches.
		assert.deepEqual(await datapaths(`${by(1, "")} --clear-dscp`, by(0)), ["nft", "nft"]);
		assert.deepEqual(await datapaths("-m dscp ! --dscp 1 -j DADDR --set-daddr 10.0.0.1", by(2)), [
			"nft",
			"nft",
		]);
	});

	it("of an interface with more rules than fit one program: nft, for all of them; others stay", async () => {
		const facts: AssignmentFacts = {
			...FACTS,
			programLacks: async (rules) => (rules.length > 2 ? "too many" : undefined),
		};
		const { rules, ebpf } = await assignedOf(facts, by(1), by(2), by(3), by(1, "-i eth0 "));
		assert.deepEqual(
			rules.map(({ datapath, reason }) => [datapath, describeReason(reason)]),
			[
				["nft", "too many"],
				["nft", "too many"],
				["nft", "too many"],
				["ebpf", "its interface eth0 is known"],
			],
		);
		assert.deepEqual([...ebpf.keys()], ["eth0"]);
	});

	it("of a service: ebpf, although it matches local addresses", async () => {
		const vip = parseAddress("192.0.2.1");
		assert.ok(vip !== undefined);
		const service = { name: "www", vip, selection: { dscp: dscp(1), interfaces: [IN0] }, clearDscp: false };
		const lowered = lowerService(service, { table: "raw", localOnly: true, signed: true });
		const { rules } = await assignDatapaths(
			{ entries: lowered.map((rule, ordinal) => ({ rule, ordinal })) },
			FACTS,
			"auto",
		);
		assert.deepEqual(
			rules.map(({ datapath }) => datapath),
			["ebpf"],
		);
	});
});

describe("the two datapaths one after the other", () => {
	const context = {
		inInterface: "in0",
		outInterface: "",
		mark: 1,
		sourceMac: macBytes(VOCABULARY.macs[0]),
		local: [],
	};
	const rule = fc
		.tuple(
			fc.constantFrom("ipv4" as const, "ipv6" as const).chain((family) => arbitraryMatchingRule(family)),
			fc.boolean(),
			fc.constantFrom("raw" as const, "raw" as const, "mangle" as const),
		)
		.map(([random, here, table]): Rule => {
			const header = here ? { ...random.header, inInterface: IN0 } : random.header;
			return { ...random, header, table };
		});

	it("have the same effect on a packet as the ruleset in its order, whatever runs where", async () => {
		let early = 0;
		await fc.assert(
			fc.asyncProperty(
				fc.array(rule, { minLength: 1, maxLength: 8 }),
				fc.array(arbitraryPacket(), { minLength: 6, maxLength: 6 }),
				async (rules, packets) => {
					const entries = rules.map((one, ordinal) => ({ rule: one, ordinal }));
					const { ebpf, nft } = await assignDatapaths({ entries }, FACTS, "auto");
					const inOrder = (list: readonly Rule[]) => [
						...list.filter(({ table }) => table === "raw"),
						...list.filter(({ table }) => table === "mangle"),
					];
					const first = (ebpf.get("in0") ?? []).map((entry) => entry.rule);
					const second = inOrder(nft.entries.map((entry) => entry.rule));
					for (const { bytes } of packets) {
						const whole = rewriteByRules(bytes, inOrder(rules), context);
						if (!whole.evaluated) continue;
						const between = rewriteByRules(bytes, first, context);
						const split = rewriteByRules(between.evaluated ? between.bytes : bytes, second, context);
						assert.deepEqual(split.evaluated ? split.bytes : undefined, whole.bytes);
					}
					if (first.length > 0 && second.length > 0) early++;
				},
			),
			{ numRuns: runs(1500) },
		);
		assert.ok(early > 100, `only ${early} rulesets were split`);
	});

	it("never both match a packet if neverMeet says so of their rules", () => {
		fc.assert(
			fc.property(rule, rule, arbitraryPacket(), (a, b, { bytes }) => {
				if (!neverMeet(a, b)) return;
				const result = rewriteByRules(bytes, [a, b], context);
				if (!result.evaluated) return;
				assert.ok(!result.outcomes.every(({ matched }) => matched));
			}),
			{ numRuns: runs(2000) },
		);
	});
});
