/** The annotated listings for auditors: ten typical rulesets, each accepted by this kernel too. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { asm, Program } from "@l3dsr/bpf";
import { type Prefix, parseAddress, prefixOf } from "@l3dsr/packet";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { compileProgram } from "../../../src/rewrite/ebpf/compile/compile.ts";
import { FIRST_RULE_SLOT } from "../../../src/rewrite/ebpf/compile/interface-rules.ts";
import type { CompileTarget } from "../../../src/rewrite/ebpf/compile/target.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { assertGolden } from "../../golden.ts";
import { HELPER_TC, LISTED_TC, TC, XDP } from "./run.ts";

const { formatListing } = asm;

failOnLeaks();

interface Ruleset {
	readonly file: string;
	readonly what: string;
	/** Without `-i eth0`, which all have. */
	readonly rules: readonly string[];
	readonly target?: CompileTarget;
	readonly local?: readonly Prefix[];
}

/** From the original's README. */
const README_IPV4 = [
	"-m dscp --dscp 0x01 -j DADDR --set-daddr 72.30.38.140",
	"-m dscp --dscp 0x02 -j DADDR --set-daddr 98.139.183.24",
];
const README_IPV6 = ["-m dscp --dscp 0x0a -j DADDR --set-daddr fc00:1000:0:6::10"];

const LOCAL = ["192.0.2.10", "127.0.0.1"].flatMap((text) => {
	const address = parseAddress(text);
	return address === undefined ? [] : [prefixOf(address, 32)];
});

const RULESETS: readonly Ruleset[] = [
	{ file: "readme-ipv4", what: "the two IPv4 rules of the original README", rules: README_IPV4 },
	{ file: "readme-ipv6", what: "the IPv6 rule of the original README", rules: README_IPV6 },
	{ file: "readme-both", what: "both families", rules: [...README_IPV4, ...README_IPV6] },
	{
		file: "64-vips",
		what: "64 VIPs: one table, the same code as for one",
		rules: Array.from({ length: 64 }, (_, i) => `-m dscp --dscp ${i} -j DADDR --set-daddr 198.51.100.${i}`),
	},
	{
		file: "services",
		what: "services: only packets for this host's own addresses",
		rules: README_IPV4.map((rule) => rule.replace("-j", "-m addrtype --dst-type LOCAL -j")),
		local: LOCAL,
	},
	{
		file: "set-port",
		what: "a destination port is set as well",
		rules: ["-m dscp --dscp 5 -j DADDR --set-daddr 198.51.100.5 --set-dport 8080"],
	},
	{
		file: "clear-dscp",
		what: "the DSCP is cleared, so that answers do not carry it back",
		rules: ["-m dscp --dscp 5 -j DADDR --set-daddr 198.51.100.5 --clear-dscp"],
	},
	{
		file: "ports",
		what: "by port instead of DSCP",
		rules: [
			"-p tcp -m tcp --dport 80 -j DADDR --set-daddr 198.51.100.5",
			"-p udp -m multiport --dports 53,5000:5010 -j DADDR --set-daddr 198.51.100.6",
		],
	},
	{
		file: "chain",
		what: "negations, and a rule that sees what another has rewritten",
		rules: [
			"! -s 203.0.113.0/24 -m dscp ! --dscp 0 -j DADDR --set-daddr 198.51.100.5",
			"-d 198.51.100.5 -m length ! --length 0:1000 -j DADDR --set-daddr 198.51.100.6",
		],
	},
	{ file: "xdp", what: "the two IPv4 rules at XDP", rules: README_IPV4, target: XDP },
	{
		file: "no-link-layer",
		what: "the two IPv4 rules on a device without link-layer header (tun, WireGuard)",
		rules: README_IPV4,
		target: { ...LISTED_TC, linkHeaderBytes: 0 },
	},
	{
		file: "helper",
		what: "both families, where the kernel does not say how a checksum stands (before 6.2, or without BTF)",
		rules: [...README_IPV4, ...README_IPV6],
		target: HELPER_TC,
	},
];

/** The same with this kernel's information on checksums. */
function onThisKernel(target: CompileTarget): CompileTarget {
	const { checksumState, ...rest } = target;
	if (checksumState === undefined || TC.checksumState === undefined) return rest;
	return { ...rest, checksumState: TC.checksumState };
}

for (const { file, what, rules, target = LISTED_TC, local = [] } of RULESETS) {
	test(`listing of ${what}`, () => {
		const slotted = rules.map((rule, index) => ({
			rule: parseRuleSpec(`-i eth0 ${rule}`, {
				family: rule.includes("::") ? "ipv6" : "ipv4",
				table: "raw",
				chain: "PREROUTING",
			}),
			ordinal: index + 1,
			slot: FIRST_RULE_SLOT + index,
		}));
		const spec = compileProgram({ rules: slotted, local }, target, 256);
		const head = [
			`# ${what}`,
			...(rules.length > 8 ? [...rules.slice(0, 2), `… ${rules.length} rules`] : rules).map(
				(rule) => `# -A PREROUTING -i eth0 ${rule}`,
			),
		];
		assertGolden(`ebpf/${file}.txt`, `${head.join("\n")}\n\n${formatListing(spec.instructions)}`);
		using program = Program.load(compileProgram({ rules: slotted, local }, onThisKernel(target), 256));
		assert.ok(program.info.id > 0);
	});
}
