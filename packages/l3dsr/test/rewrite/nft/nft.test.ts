import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Command, Nftables, type TransactOptions } from "@l3dsr/nftables";
import { dscp } from "@l3dsr/packet";
import fc from "fast-check";
import { enterNetns, run } from "../../../../../test/support/netns.ts";
import { runs } from "../../../../../test/support/property-runs.ts";
import { applyGuard, observeGuard } from "../../../src/host/vip-guard.ts";
import { type Rule, ZERO_COUNTERS } from "../../../src/model/rule.ts";
import type { RuleEntry, Ruleset } from "../../../src/model/ruleset.ts";
import type { VipGuard } from "../../../src/model/vip-guard.ts";
import type { Observation } from "../../../src/rewrite/datapath.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { arbitraryAddress, arbitraryRuleset } from "../../arbitrary/rule.ts";
import { setRules } from "../set-rules.ts";

enterNetns();

const nft = new NftDatapath();

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
	await setRules(nft, ruleset);
	await nft.observe();
	const again = await nft.observe();
	const { rules, findings } = await new NftDatapath().observe();
	assert.deepEqual(
		[again.rules, again.findings],
		[rules, findings],
		"who looks again sees what a newcomer sees",
	);
	return again;
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
	it("observes nothing, and creates nothing, if there is no table", async () => {
		const { rules, findings } = await nft.observe();
		assert.deepEqual([rules, findings], [[], []]);
		await setRules(nft, { entries: [] });
		assert.equal(run("nft", "list", "ruleset"), "");
	});

	it("observes the applied rules, whatever ruleset was there before", async () => {
		await fc.assert(
			fc.asyncProperty(arbitraryRuleset({ maxLength: 12 }), async (ruleset) => {
				const observed = await apply(ruleset);
				assertObserved(observed, ruleset.entries);
			}),
			{ numRuns: runs(40) },
		);
		await apply({ entries: [] });
		assert.equal(run("nft", "list", "ruleset"), "");
	});

	it("does not take an earlier reading for the current one if another program has changed something", async () => {
		const [first, second] = entries(
			"-p tcp -m dscp --dscp 1 -j DADDR --set-daddr 10.0.0.1",
			"-p udp -m dscp --dscp 1 -j DADDR --set-daddr 10.0.0.1",
		) as [RuleEntry, RuleEntry];
		await apply({ entries: [first, second] });
		const before = await nft.observe({ oldCounters: true });
		assert.deepEqual([before.oldCounters, before.rules.length], [true, 2]);
		run("nft", "flush", "chain", "ip", "l3dsr", "raw_PREROUTING");
		const after = await nft.observe({ oldCounters: true });
		assert.deepEqual([after.oldCounters, after.rules], [undefined, []]);
		await apply({ entries: [first] });
	});

	it("starts counters at the given values, or at zero", async () => {
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

	it("observes the applied rules if most of them share lookups, change after change", async () => {
		await apply({ entries: [] });
		const family = fc.constantFrom("ipv4" as const, "ipv6" as const);
		const entry = family.chain((one) =>
			fc
				.record({
					code: fc.integer({ min: 0, max: 63 }).map(dscp),
					daddr: arbitraryAddress(one),
					ordinal: fc.integer({ min: -5, max: 30 }),
					kind: fc.constantFrom("folded", "folded", "folded", "folded", "guarded", "linear", "cleared"),
				})
				.map(({ code, daddr, ordinal, kind }): RuleEntry => {
					const select = { kind: "dscp", dscp: code, negated: kind === "linear" } as const;
					const mark = { kind: "mark", value: 1, mask: 1, negated: false } as const;
					return {
						ordinal,
						rule: {
							family: one,
							table: "raw",
							chain: "PREROUTING",
							header: {},
							matches: kind === "guarded" ? [mark, select] : [select],
							target: { daddr, clearDscp: kind === "cleared" },
						},
					};
				}),
		);
		const rulesets = fc.uniqueArray(entry, {
			maxLength: 20,
			selector: (one) => `${one.rule.family} ${one.ordinal}`,
		});
		await fc.assert(
			fc.asyncProperty(rulesets, async (list) => {
				const before = new Map((await nft.observe()).rules.map((one) => [key(one), one]));
				const counted = list.map((one) => {
					const old = before.get(key(one));
					// Like traffic: gives every new rule a distinct number.
					return old === undefined
						? { ...one, counters: { packets: BigInt(one.ordinal + 6), bytes: 1n } }
						: one;
				});
				const observed = await apply({ entries: counted });
				assertObserved(observed, list);
				for (const one of observed.rules) assert.equal(one.counters.packets, BigInt(one.ordinal + 6));
			}),
			{ numRuns: runs(40), endOnFailure: true },
		);
	});

	it("keeps every unchanged rule and element in place", async () => {
		await apply({ entries: [] });
		const base = entries(
			"-m dscp --dscp 1 -j DADDR --set-daddr 10.0.0.1",
			"-m dscp --dscp 2 -j DADDR --set-daddr 10.0.0.2",
			"-s 10.1.0.0/16 -j DADDR --set-daddr 10.0.0.3",
			"-p udp --dport 53 -j DADDR --set-daddr 10.0.0.4",
		);
		await apply({ entries: base });
		const before = run("nft", "-a", "list", "table", "ip", "l3dsr");
		const added: RuleEntry = { rule: rule("-m dscp --dscp 9 -j DADDR --set-daddr 10.0.0.9"), ordinal: 1500 };
		await apply({ entries: [...base, added] });
		const more = run("nft", "-a", "list", "table", "ip", "l3dsr");
		assert.notEqual(more, before);
		assert.equal(
			more.replace(/(, 0x24 counter[^:]*: 10\.0\.0\.9|0x24 counter[^:]*: 10\.0\.0\.9, )/, ""),
			before,
		);
		await apply({ entries: base });
		assert.equal(run("nft", "-a", "list", "table", "ip", "l3dsr"), before);
		const last: RuleEntry = { rule: rule("-p tcp -j DADDR --set-daddr 10.0.0.9"), ordinal: 3500 };
		await apply({ entries: [...base, last] });
		const lines = run("nft", "-a", "list", "table", "ip", "l3dsr").split("\n");
		assert.deepEqual(lines.filter((line) => !/comment "3500[ "]/.test(line)).join("\n"), before);
	});

	it("stores comments of 255 bytes and fifteen ports, cut between characters", async () => {
		await apply({ entries: [] });
		const ports = Array.from({ length: 15 }, (_, i) => 60000 + i * 2).join(",");
		const long = entries(
			`-m dscp --dscp 1 -m comment --comment "${"ü".repeat(127)}x" -j DADDR --set-daddr 10.0.0.1`,
			`-p tcp -m multiport --ports ${ports} -m comment --comment "it's \\"100%\\" %27 \\\\ done" -j DADDR --set-daddr 10.0.0.1`,
			`-m dscp --dscp 1 -m comment --comment "${"&".repeat(255)}" -j DADDR --set-daddr fc00::1`,
			`-m dscp --dscp 2 -m comment --comment "${"'".repeat(255)}" -j DADDR --set-daddr fc00::1`,
			"-m comment --comment short -j DADDR --set-daddr fc00::2",
		);
		assertObserved(await apply({ entries: long }), long);
		assertObserved(await apply({ entries: long.slice(1) }), long.slice(1));
		assertObserved(await apply({ entries: [] }), []);
	});

	it("takes over the remains of a killed run", async () => {
		const before = entries("-m dscp --dscp 1 -j DADDR --set-daddr 10.0.0.1");
		await apply({ entries: before });
		run("nft", "add map ip l3dsr raw_PREROUTING_2 { typeof @nh,8,8 : ip daddr; size 64; counter; }");
		run("nft", 'add element ip l3dsr raw_PREROUTING_2 { 4 comment "x" : 10.0.0.1 }');
		const observed = await nft.observe();
		assert.deepEqual(
			observed.rules.map(({ ordinal }) => ordinal),
			[1024],
		);
		assert.deepEqual(observed.findings, [
			{
				datapath: "nft",
				kind: "damage",
				object: "table ip l3dsr, map raw_PREROUTING_2",
				problem: "no rule of l3dsr looks it up",
			},
		]);
		await observed.change({ entries: before });
		assertObserved(await nft.observe(), before);
	});

	it("reads back addresses of which nft sees only the lower half, and prints it as a negative number", async () => {
		await apply({ entries: [] });
		const low = ["::8000:0:0:0", "::ffff:ffff:ffff:ffff", "::7fff:ffff:ffff:ffff", "0:0:0:1:8000::"].map(
			(address, code) => `-m dscp --dscp ${code + 1} -j DADDR --set-daddr ${address}`,
		);
		assertObserved(await apply({ entries: entries(...low) }), entries(...low));
		await apply({ entries: [] });
	});

	it("sends 1,000 rules with an address and a port each in one transaction, with one command each and few more", async () => {
		await apply({ entries: [] });
		const transactions: (readonly Command[])[] = [];
		const watched = new NftDatapath(
			() =>
				new (class extends Nftables {
					override transact(commands: readonly Command[], options?: TransactOptions): void {
						super.transact(commands, options);
						transactions.push(commands);
					}
				})(),
		);
		const many = Array.from({ length: 1000 }, (_, i): RuleEntry => {
			const spec = `-s 10.${i >> 8}.${i & 255}.0/24 -p tcp -m dscp --dscp ${i % 64} -m tcp --dport ${i + 1} -j DADDR --set-daddr 10.0.0.1`;
			return { rule: rule(spec), ordinal: i };
		});
		await setRules(watched, { entries: many });
		assertObserved(await nft.observe(), many);
		assert.equal(transactions.length, 1);
		const [first = []] = transactions;
		assert.ok(first.length < many.length + 20, `${first.length} commands`);
		await setRules(watched, { entries: many.slice(1) });
		assert.equal(transactions[1]?.length, 1);
		await apply({ entries: [] });
	});

	it("does not read its tables again after this process has changed another table", async () => {
		await apply({ entries: [] });
		let reads = 0;
		class CountedNftables extends Nftables {
			override read(...args: Parameters<Nftables["read"]>): ReturnType<Nftables["read"]> {
				reads++;
				return super.read(...args);
			}
		}
		const counted = new NftDatapath(() => new CountedNftables());
		const [first, second] = entries(
			"-m dscp --dscp 1 -j DADDR --set-daddr 10.0.0.1",
			"-s 10.1.0.0/16 -j DADDR --set-daddr 10.0.0.2",
		) as [RuleEntry, RuleEntry];
		const change = async (...wanted: RuleEntry[]): Promise<number> => {
			const snapshot = await counted.observe();
			const held = wanted.map(({ rule: one }) => one.target.daddr);
			const guard: VipGuard = { held, found: [], silent: [], senders: [] };
			const own = applyGuard(guard, observeGuard());
			const before = reads;
			await snapshot.change({ entries: wanted }, own);
			return reads - before;
		};
		try {
			assert.equal(await change(first), 0);
			assert.equal(await change(first, second), 0);
			assertObserved(await nft.observe(), [first, second]);
			// Another process deletes the tables between the observation and the change of the guard.
			const snapshot = await counted.observe();
			run("nft", "flush", "ruleset");
			const own = applyGuard({ held: [], found: [], silent: [], senders: [] }, observeGuard());
			const before = reads;
			await snapshot.change({ entries: [first] }, own);
			assert.equal(reads - before, 1);
			assertObserved(await nft.observe(), [first]);
		} finally {
			applyGuard(undefined, observeGuard());
			await apply({ entries: [] });
		}
	});

	it("keeps a lookup for the remaining one of two rules, and creates one if a rule gets another beside it", async () => {
		await apply({ entries: [] });
		const [first, second] = entries(
			"-s 10.1.0.0/16 -m dscp --dscp 1 -j DADDR --set-daddr 10.0.0.1",
			"-s 10.1.0.0/16 -m dscp --dscp 2 -j DADDR --set-daddr 10.0.0.2",
		) as [RuleEntry, RuleEntry];
		const maps = (): number => run("nft", "list", "table", "ip", "l3dsr").match(/^\tmap /gm)?.length ?? 0;
		const counters = { packets: 7n, bytes: 70n };
		assertObserved(await apply({ entries: [{ ...first, counters }] }), [first]);
		assert.equal(maps(), 0);
		const both = await apply({ entries: [first, second] });
		assertObserved(both, [first, second]);
		assert.equal(maps(), 1);
		const left = await apply({ entries: [first] });
		assertObserved(left, [first]);
		assert.equal(maps(), 1);
		for (const { rules } of [both, left]) assert.deepEqual(rules[0]?.counters, counters);
		await apply({ entries: [] });
	});
});

function key({ rule: one, ordinal }: RuleEntry): string {
	return `${one.family} ${ordinal} ${JSON.stringify(one)}`;
}
