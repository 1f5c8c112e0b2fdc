/**
 * Tables of version 0.1.0, which wrote them with nft(8), are read and changed in place. `version-0.1.0`
 * contains that version's input to nft.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { beforeEach, describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { type Command, copyTable, type Expression, Nftables } from "@l3dsr/nftables";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns, run } from "../../../../../test/support/netns.ts";
import type { Rule } from "../../../src/model/rule.ts";
import type { RuleEntry } from "../../../src/model/ruleset.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import {
	assertEachCounted,
	assertEachRewritten,
	bothFamilies,
	byCode,
	byCodes,
	ordinalOf,
	replaceUnderLoad,
} from "../../packets/replacements.ts";
import { setRules } from "../set-rules.ts";

enterNetns();
failOnLeaks();

const file = (name: string): string => fileURLToPath(new URL(`version-0.1.0/${name}`, import.meta.url));
const TABLES = [
	{ family: "ip", name: "l3dsr" },
	{ family: "ip6", name: "l3dsr" },
] as const;

/** The rules whose tables are recorded, with their recorded counters. */
const RECORDED: readonly RuleEntry[] = readFileSync(file("every-match.rules"), "utf8")
	.trim()
	.split("\n")
	.map((line, index) => {
		const [, family, table, chain, spec = ""] = /^(\S+) (\S+) (\S+) (.*)$/.exec(line) ?? [];
		const place = { family, table, chain } as Pick<Rule, "family" | "table" | "chain">; // the words of the file
		const packets = BigInt(index + 1);
		return {
			rule: parseRuleSpec(spec, place),
			ordinal: (index + 1) * 1024,
			counters: { packets, bytes: 100n * packets },
		};
	});

/** The form of nft 1.0.6, and that of 1.1.3 and 1.1.7 (seen in Debian 13 and sid). */
const WRITERS: readonly (readonly [
	nft: string,
	form: (expressions: readonly Expression[]) => readonly Expression[],
])[] = [
	["the nft of this machine", (expressions) => expressions],
	["nft 1.1", newerForm],
];

function newerForm(expressions: readonly Expression[]): readonly Expression[] {
	return expressions.flatMap((one, at): Expression[] => {
		const [before, next] = [expressions[at - 1], expressions[at + 1]];
		if (isBound(one, ">=") && isBound(next, "<=")) {
			return [{ kind: "range", register: one.register, operator: "==", first: one.value, last: next.value }];
		}
		if (isBound(one, "<=") && isBound(before, ">=")) return [];
		if (one.kind !== "payload write" || one.base !== "transport" || one.checksum !== 6) return [one];
		const { checksum: _, ...write } = one;
		return [{ ...write, pseudoHeader: true }];
	});
}

function isBound(
	one: Expression | undefined,
	operator: ">=" | "<=",
): one is Extract<Expression, { kind: "compare" }> {
	return one?.kind === "compare" && one.operator === operator;
}

/** Loads a recorded script, and converts its rules to another form. */
function load(name: string, form: (expressions: readonly Expression[]) => readonly Expression[]): void {
	run("nft", "-f", file(name));
	if (form !== newerForm) return;
	using nftables = new Nftables();
	const { tables } = nftables.read(TABLES);
	const replaced = tables.flatMap((table): Command[] =>
		table.rules.map((rule) => ({
			do: "add rule",
			table,
			chain: rule.chain,
			rule: { ...rule, expressions: form(rule.expressions) },
		})),
	);
	nftables.transact([
		...tables.flatMap(({ chains, ...table }) =>
			chains.map((chain): Command => ({ do: "flush chain", table, chain: chain.name })),
		),
		...replaced,
	]);
}

/**
 * Missing in version 0.1.0: the translation of answers of rules with --set-dport, and the exclusion of later
 * fragments and truncated headers from rules that read or write ports.
 */
const NOT_THERE_YET = new RegExp(
	`, chain \\w+(, handle \\d+)?: (${[
		"is missing: (answers of services with set-port leave from the wrong port|an older l3dsr did not create it)",
		'lacks its rule "[^"]*(@th,8,24 >= 0 (udp|tcp) dport set|_later)',
		"was not written by this version",
	].join("|")})`,
);

function generation(): number {
	using nftables = new Nftables();
	return nftables.generation();
}

function tables(): string {
	return TABLES.map(({ family, name }) => run("nft", "-a", "list", "table", family, name)).join("");
}

describe("tables of version 0.1.0", () => {
	beforeEach(() => run("nft", "flush", "ruleset"));

	for (const [nft, form] of WRITERS) {
		it(`written by ${nft} are read with every rule and counter, and get the missing parts in one transaction`, async () => {
			load("every-match.nft", form);
			const datapath = new NftDatapath();
			const observed = await datapath.observe();
			assert.ok(observed.findings.length > 0);
			for (const { object, problem } of observed.findings)
				assert.match(`${object}: ${problem}`, NOT_THERE_YET);
			const byOrdinal = [...observed.rules].sort((a, b) => a.ordinal - b.ordinal);
			assert.deepEqual(
				byOrdinal.map(({ rule, ordinal, counters }) => ({ rule, ordinal, counters })),
				RECORDED,
			);
			const before = generation();
			await observed.change({ entries: observed.rules.map(({ rule, ordinal }) => ({ rule, ordinal })) });
			assert.equal(generation(), before + 1);
			const { rules, findings } = await datapath.observe();
			assert.deepEqual(findings, []);
			assert.deepEqual(rules, observed.rules);
		});

		it(`written by ${nft} keep their rules and counters when one is added and one deleted`, async () => {
			load("every-match.nft", form);
			const datapath = new NftDatapath();
			const observed = await datapath.observe();
			const [first, ...rest] = observed.rules;
			const handles = new Set(tables().match(/# handle \d+/g));
			const added = parseRuleSpec("-m dscp --dscp 33 -j DADDR --set-daddr 198.51.100.33", {
				family: "ipv4",
				table: "raw",
				chain: "PREROUTING",
			});
			const entries = [
				...rest.map(({ rule, ordinal }) => ({ rule, ordinal })),
				{ rule: added, ordinal: 1 << 20 },
			];
			await observed.change({ entries });
			const changed = await datapath.observe();
			assert.deepEqual(changed.findings, []);
			assert.deepEqual(
				changed.rules.filter(({ ordinal }) => ordinal !== 1 << 20),
				rest,
			);
			assert.ok(first !== undefined && changed.rules.every(({ ordinal }) => ordinal !== first.ordinal));
			const kept = (tables().match(/# handle \d+/g) ?? []).filter((one) => handles.has(one));
			assert.ok(kept.length > 0.9 * handles.size, `${kept.length} of ${handles.size} rules are as they were`);
		});
	}

	it("are copied and printed unchanged by the libraries", () => {
		load("every-match.nft", (expressions) => expressions);
		using nftables = new Nftables();
		const before = nftables.read(TABLES).tables;
		const listed = run("nft", "-s", "list", "ruleset");
		run("nft", "flush", "ruleset");
		nftables.transact(before.flatMap(copyTable));
		const lines = (text: string): string[] => text.split("\n").sort();
		assert.deepEqual(lines(run("nft", "-s", "list", "ruleset")), lines(listed));
	});
});

describe("the first changes of tables of version 0.1.0 under 50,000 packets a second", () => {
	/**
	 * One change after the other from the recorded state: a rule is deleted, another replaces it, both are
	 * deleted, elements change.
	 */
	const common = byCodes([0, 1, 0, 0]);
	const rulesets = [
		[...common, [ordinalOf(8), byCode(2, 0, " -m length --length 20:")] as const],
		[...common, [ordinalOf(9), "-p udp -s {nobody} -j DADDR --set-daddr {1} --set-dport 8080"] as const],
		common,
		byCodes([1, 1, 1, 0]),
	].map((sketches) => bothFamilies(sketches));

	for (const [nft, form] of WRITERS) {
		it(`written by ${nft}: each packet is rewritten completely and counted`, async (t: TestContext) => {
			run("nft", "flush", "ruleset");
			const datapath = new NftDatapath();
			const outcome = await replaceUnderLoad({
				perSecond: 20,
				seconds: 0.5,
				atLeast: rulesets.length,
				replace: async (turn) => {
					if (turn === 0) load("under-load.nft", form);
					else {
						const entries = rulesets[Math.min(turn, rulesets.length) - 1] ?? [];
						await setRules(datapath, { entries });
					}
				},
				observe: () => datapath.observe(),
			});
			t.diagnostic(outcome.summary);
			assertEachRewritten(outcome);
			assertEachCounted(outcome);
		});
	}
});
