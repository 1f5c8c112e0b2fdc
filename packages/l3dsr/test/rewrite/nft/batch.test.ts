/** The transactions of typical rulesets, command by command in nft's syntax, which nft loads. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Nftables, printCommand } from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";
import { enterNetns, run } from "../../../../../test/support/netns.ts";
import type { Chain, Table } from "../../../src/model/rule.ts";
import { ORDINAL_STEP, type RuleEntry } from "../../../src/model/ruleset.ts";
import { type CurrentTable, planChange } from "../../../src/rewrite/nft/compile/change.ts";
import { RuleReader } from "../../../src/rewrite/nft/compile/comment.ts";
import { listTable } from "../../../src/rewrite/nft/compile/listing.ts";
import { readTable } from "../../../src/rewrite/nft/compile/observe.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { assertGolden } from "../../golden.ts";

enterNetns();

interface Place {
	readonly family: Family;
	readonly table: Table;
	readonly chain: Chain;
}
const RAW: Place = { family: "ipv4", table: "raw", chain: "PREROUTING" };

function chainOf(place: Place, specs: readonly string[]): RuleEntry[] {
	return specs.map((spec, index) => ({
		rule: parseRuleSpec(spec, place),
		ordinal: (index + 1) * ORDINAL_STEP,
	}));
}

/** Each transaction under its name, in nft's syntax. */
function batch(entries: readonly RuleEntry[], current?: CurrentTable): string {
	const families: readonly Family[] = ["ipv4", "ipv6"];
	const changes = families.map((family) =>
		planChange(
			family,
			{ entries: entries.filter(({ rule }) => rule.family === family) },
			current?.listing.family === family ? current : undefined,
		),
	);
	return (["prepare", "swap", "cleanUp"] as const)
		.map((part) => ({ part, lines: changes.flatMap((change) => change[part]) }))
		.filter(({ lines }) => lines.length > 0)
		.map(({ part, lines }) => `# ${part}\n${lines.map((command) => `${printCommand(command)}\n`).join("")}`)
		.join("\n");
}

/** Loads a batch, and returns the resulting state. */
function load(text: string): CurrentTable {
	run("sh", "-c", `nft -f - <<'END'\n${text}END`);
	using nftables = new Nftables();
	const [contents] = nftables.read([{ family: "ip", name: "l3dsr" }]).tables;
	const listing = listTable(contents ?? assert.fail("no table"), "ipv4");
	return { listing, reading: readTable(listing, new RuleReader()) };
}

const README = [
	...chainOf({ family: "ipv4", table: "mangle", chain: "INPUT" }, [
		"-m dscp --dscp 1 -j DADDR --set-daddr=72.30.38.140",
		"-m dscp --dscp 2 -j DADDR --set-daddr=98.139.183.24",
	]),
	...chainOf({ family: "ipv6", table: "mangle", chain: "INPUT" }, [
		"-m dscp --dscp 10 -j DADDR --set-daddr=fc00:1000:0:6::10",
		"-m dscp --dscp 11 -j DADDR --set-daddr=fc00:1000:0:6::21",
	]),
];
const SIXTY_FOUR = chainOf(
	RAW,
	Array.from({ length: 64 }, (_, code) => `-m dscp --dscp ${code} -j DADDR --set-daddr 198.51.100.${code}`),
);
const COMPLEX = [
	"-i eth+ -m dscp --dscp 1 -m addrtype --dst-type LOCAL -j DADDR --set-daddr 198.51.100.1",
	"-i eth+ -m dscp --dscp 2 -m addrtype --dst-type LOCAL -m comment --comment second -j DADDR --set-daddr 198.51.100.2",
	"! -s 10.0.0.0/8 -p tcp -m multiport --ports 80,443,8000:8010 -j DADDR --set-daddr 198.51.100.3 --set-dport 8080 --clear-dscp",
	"-p udp ! -f -m udp ! --dport 53 -m ttl --ttl-lt 9 -m mark ! --mark 0x1/0xff -j DADDR --set-daddr 198.51.100.4",
	"-m mac --mac-source 02:00:00:00:00:01 -m tos --tos 0x10/0x3f -m length --length 0:100 -m ecn --ecn-ip-ect 2 -j DADDR --set-daddr 198.51.100.5",
	`-m dscp --dscp 3 -m comment --comment "${"a long story, ".repeat(12)}" -j DADDR --set-daddr 198.51.100.6`,
];

describe("nft batches", () => {
	it("of the README's four rules", () => assertGolden("nft/readme.nft", batch(README)));

	it("of 64 rules by DSCP: one lookup", () => {
		const text = batch(SIXTY_FOUR);
		assert.equal(text.match(/^add rule .* ip daddr set/gm)?.length, 1);
		assertGolden("nft/sixty-four.nft", text);
	});

	it("of a chain with every kind of match", () =>
		assertGolden("nft/complex.nft", batch(chainOf(RAW, COMPLEX))));

	it("add an element for another rule, and remove it", () => {
		const current = load(batch(SIXTY_FOUR.slice(0, 5)));
		const more = SIXTY_FOUR.slice(0, 6);
		assertGolden("nft/one-more.nft", batch(more, current));
		assertGolden("nft/one-less.nft", batch(SIXTY_FOUR.slice(0, 4), current));
		assert.equal(batch(SIXTY_FOUR.slice(0, 5), current), "");
		run("nft", "flush", "ruleset");
	});

	it("fill new maps before the rules, and delete old ones after them", () => {
		const current = load(batch(SIXTY_FOUR.slice(0, 3)));
		const between = chainOf(RAW, ["-s 203.0.113.0/24 -j DADDR --set-daddr 198.51.100.9"]).map(({ rule }) => ({
			rule,
			ordinal: ORDINAL_STEP + 1,
		}));
		assertGolden("nft/parted.nft", batch([...SIXTY_FOUR.slice(0, 3), ...between], current));
		run("nft", "flush", "ruleset");
	});
});
