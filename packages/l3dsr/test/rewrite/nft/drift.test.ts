/** Changes of l3dsr's table by others are detected, and the next change repairs them. */
import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { enterNetns, run } from "../../../../../test/support/netns.ts";
import type { Finding } from "../../../src/model/finding.ts";
import type { RuleEntry } from "../../../src/model/ruleset.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { setRules } from "../set-rules.ts";

enterNetns();

const nft = new NftDatapath();
const entries: RuleEntry[] = [
	"-m dscp --dscp 1 -j DADDR --set-daddr 10.0.0.1",
	"-m dscp --dscp 2 -j DADDR --set-daddr 10.0.0.2",
	"-p tcp -m multiport --ports 80,443 -j DADDR --set-daddr 10.0.0.3 --set-dport 8080",
	`-s 10.9.0.0/16 -m comment --comment "${"long ".repeat(40)}" -j DADDR --set-daddr 10.0.0.4`,
].map((spec, index) => ({
	rule: parseRuleSpec(spec, { family: "ipv4", table: "raw", chain: "PREROUTING" }),
	ordinal: (index + 1) * 1024,
}));
const six: RuleEntry = {
	rule: parseRuleSpec("-m dscp --dscp 1 -j DADDR --set-daddr fc00::1", {
		family: "ipv6",
		table: "raw",
		chain: "PREROUTING",
	}),
	ordinal: 1024,
};

function handleOf(what: RegExp, family = "ip"): string {
	const chains = run("nft", "-a", "list", "table", family, "l3dsr").split("\tchain ");
	const line = chains
		// A detour has a lookup too.
		.filter((chain) => !chain.startsWith("raw_PREROUTING_later"))
		.flatMap((chain) => chain.split("\n"))
		.find((one) => what.test(one));
	return /# handle (\d+)/.exec(line ?? "")?.[1] ?? assert.fail(`no line with ${what}`);
}

/** The observed ordinals, and the findings. */
async function look(): Promise<{ ordinals: number[]; findings: readonly Finding[] }> {
	const { rules, findings } = await nft.observe();
	return {
		ordinals: rules.filter(({ rule }) => rule.family === "ipv4").map(({ ordinal }) => ordinal),
		findings,
	};
}

async function putRight(): Promise<void> {
	await setRules(nft, { entries: [...entries, six] });
	const { rules, findings } = await nft.observe();
	assert.deepEqual(findings, []);
	assert.deepEqual(
		rules.map(({ rule, ordinal }) => ({ rule, ordinal })),
		[...entries, six],
	);
}

interface ForeignChange {
	readonly title: string;
	readonly commands: () => string;
	/** Ordinals of the IPv4 rules that are still in force. */
	readonly left: readonly number[];
	readonly problems: readonly RegExp[];
}

const ALL = [1024, 2048, 3072, 4096];
const MAP = "ip l3dsr raw_PREROUTING_1";
const notIntact = /rule \d+: is incomplete/;

const CHANGES: readonly ForeignChange[] = [
	{
		title: "a foreign rule",
		commands: () => "insert rule ip l3dsr raw_PREROUTING tcp dport 22 drop",
		left: ALL,
		problems: [/chain raw_PREROUTING, handle \d+: was not written by this version of l3dsr/],
	},
	{
		title: "a deleted element: the rule is gone, without another finding",
		commands: () => `delete element ${MAP} { 4 }`,
		left: [2048, 3072, 4096],
		problems: [],
	},
	{
		title: "two elements with swapped addresses",
		commands: () => {
			const element = (key: number, address: string, of: number): string =>
				`add element ${MAP} { ${key} comment "${of * 1024} -m dscp --dscp 0x0${of} -j DADDR --set-daddr 10.0.0.${of}" : ${address} }`;
			return [`delete element ${MAP} { 4, 8 }`, element(4, "10.0.0.2", 1), element(8, "10.0.0.1", 2)].join(
				"; ",
			);
		},
		left: [3072, 4096],
		problems: [
			notIntact,
			notIntact,
			/element 0x4 : 0xa000002: does not do what its comment says/,
			/element 0x8/,
		],
	},
	{
		title: "an element without a comment",
		commands: () => `add element ${MAP} { 12 : 10.6.6.6 }`,
		left: ALL,
		problems: [/element 0xc : 0xa060606: has no comment of l3dsr/],
	},
	{
		title: "a rule with another address under the same comment",
		commands: () => {
			const comment =
				"3072 -p tcp -m multiport --ports 80,443 -j DADDR --set-daddr 10.0.0.3 --set-dport 8080";
			const rule = `meta l4proto tcp th sport { 80, 443 } @th,8,24 >= 0 counter ip daddr set 10.6.6.6 jump dport_8080 comment "${comment}"`;
			return `replace rule ip l3dsr raw_PREROUTING handle ${handleOf(/"3072 -p/)} ${rule}`;
		},
		left: [1024, 2048, 4096],
		problems: [/rule 3072: is incomplete/, /does not do what its comment says \(3072 -p/],
	},
	{
		title: "a rule of which one of two parts was deleted",
		commands: () => `delete rule ip l3dsr raw_PREROUTING handle ${handleOf(/"3072\/2"/)}`,
		left: [1024, 2048, 4096],
		problems: [/rule 3072: is incomplete/],
	},
	{
		title: "a lookup with an added condition",
		commands: () => {
			const handle = handleOf(/map @raw_PREROUTING_1/);
			return `replace rule ip l3dsr raw_PREROUTING handle ${handle} ip dscp != 0 ip saddr 10.0.0.0/8 ip daddr set @nh,8,8 & 0xfc map @raw_PREROUTING_1`;
		},
		left: [3072, 4096],
		problems: [notIntact, notIntact, /was not written by this version of l3dsr/],
	},
	{
		title: "a deleted lookup",
		commands: () => `delete rule ip l3dsr raw_PREROUTING handle ${handleOf(/map @raw_PREROUTING_1/)}`,
		left: [3072, 4096],
		problems: [/map raw_PREROUTING_1: no rule of l3dsr looks it up/],
	},
	{
		title: "a long comment of which a piece was deleted",
		commands: () => `delete rule ip l3dsr raw_PREROUTING_text handle ${handleOf(/"4096 \(2\/3\)/)}`,
		left: [1024, 2048, 3072],
		problems: [/does not do what its comment says/, /chain raw_PREROUTING_text/],
	},
	{
		title: "a deleted guard",
		commands: () => `delete rule ip l3dsr raw_PREROUTING handle ${handleOf(/ip length < 38/)}`,
		left: ALL,
		problems: [/chain raw_PREROUTING: lacks its rule "ip length < 38 jump raw_PREROUTING_check"/],
	},
	{
		title: "a deleted rule of the detour of later fragments",
		commands: () => "flush chain ip l3dsr raw_PREROUTING_later",
		left: [3072],
		problems: [/chain raw_PREROUTING_later: lacks its rule "accept"/, /rule 1024: is incomplete/],
	},
	{
		title:
			"the detour of later fragments that was deleted: the rules stay, as with tables of an older version",
		commands: () =>
			`delete rule ip l3dsr raw_PREROUTING handle ${handleOf(/goto raw_PREROUTING_later/)}; delete chain ip l3dsr raw_PREROUTING_later`,
		left: ALL,
		problems: [/chain raw_PREROUTING_later: is missing/, /chain raw_PREROUTING: lacks its rule "ip frag-off/],
	},
	{
		title: "rules in another order",
		commands: () => {
			const comment = "1 -p udp -j DADDR --set-daddr 10.0.0.5";
			const rule = "meta l4proto 17 counter packets 0 bytes 0 ip daddr set 10.0.0.5 comment";
			return `add rule ip l3dsr raw_PREROUTING ${rule} "${comment}"; insert rule ip l3dsr raw_PREROUTING_later ${rule} "1"`;
		},
		left: [1, ...ALL],
		problems: [/chain raw_PREROUTING: its rules are not in the order of their comments/],
	},
	{
		title: "a foreign chain, set and counter",
		commands: () =>
			"add chain ip l3dsr theirs; add set ip l3dsr s { type ipv4_addr; }; add counter ip l3dsr c",
		left: ALL,
		problems: [/chain theirs/, /set s/, /counter c/],
	},
	{
		title: "another policy",
		commands: () => "add chain ip l3dsr raw_PREROUTING { policy drop; }",
		left: ALL,
		problems: [/chain raw_PREROUTING: has the policy drop/],
	},
	{
		title: "a dormant table",
		commands: () => "add table ip l3dsr { flags dormant; }",
		left: [],
		problems: [/table ip l3dsr: is dormant \(flags dormant\): its rules are not in force/],
	},
	{
		title: "a chain moved to another hook",
		commands: () =>
			[
				"flush chain ip l3dsr raw_PREROUTING",
				"delete chain ip l3dsr raw_PREROUTING",
				"add chain ip l3dsr raw_PREROUTING { type filter hook prerouting priority 7; }",
				"add rule ip l3dsr raw_PREROUTING ip daddr set @nh,8,8 & 0xfc map @raw_PREROUTING_1",
			].join("; "),
		left: [],
		problems: [/chain raw_PREROUTING: is of type filter at prerouting, priority 7/, /.*/, /.*/],
	},
];

describe("a table that others have changed", () => {
	beforeEach(async () => {
		run("nft", "flush", "ruleset");
		await setRules(nft, { entries: [...entries, six] });
	});

	for (const { title, commands, left, problems } of CHANGES) {
		it(`is detected and repaired: ${title}`, async () => {
			run("nft", commands());
			const { ordinals, findings } = await look();
			assert.deepEqual(ordinals, left);
			const texts = findings.map(({ object, problem }) => `${object}: ${problem}`);
			for (const problem of problems)
				assert.ok(
					texts.some((text) => problem.test(text)),
					`${problem} in ${texts}`,
				);
			if (problems.length === 0) assert.deepEqual(texts, []);
			await putRight();
		});
	}

	it("IPv6: without the second copy of a rule, for packets whose checksum must not change, the rule is broken", async () => {
		run("nft", "flush chain ip6 l3dsr raw_PREROUTING_plain");
		const { rules, findings } = await nft.observe();
		assert.deepEqual(
			rules.filter(({ rule }) => rule.family === "ipv6"),
			[],
		);
		assert.ok(
			findings.some(({ object }) => object === "table ip6 l3dsr, chain raw_PREROUTING_plain, rule 1024"),
		);
		await putRight();
	});

	it("is ignored if it is not l3dsr's", async () => {
		run("nft", "add table ip theirs; add chain ip theirs c { type filter hook prerouting priority -300; }");
		run("nft", "add table inet l3dsr");
		assert.deepEqual((await nft.observe()).findings, []);
		await setRules(nft, { entries: [] });
		assert.match(run("nft", "list", "ruleset"), /table ip theirs \{.*table inet l3dsr/s);
	});
});
