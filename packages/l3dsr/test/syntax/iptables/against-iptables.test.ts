/** Compares our output with that of iptables and ip6tables for the same rules with another target. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import type { Family } from "@l3dsr/packet";
import fc from "fast-check";
import { enterNetns, run } from "../../../../../test/support/netns.ts";
import { CHAINS, type Rule } from "../../../src/model/rule.ts";
import {
	describeRule,
	type ListedRule,
	listChain,
	policyLine,
	ruleLine,
	saveTable,
} from "../../../src/syntax/iptables/listing.ts";
import { builtInProtocolName, parseServices } from "../../../src/syntax/iptables/names.ts";
import { formatRuleSpec } from "../../../src/syntax/iptables/rule-format.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { arbitraryRule } from "../../arbitrary/rule.ts";

enterNetns();

const OURS = "-j DADDR --set-daddr";
const names = { services: parseServices(readFileSync("/etc/services", "utf8")), host: () => undefined };
const COMMAND = { ipv4: "iptables", ipv6: "ip6tables" } as const;

/** The rule's text for the real command, with ACCEPT in place of DADDR. */
function theirs(spec: string): string {
	return spec.replace(/-j DADDR .*$/, "-j ACCEPT");
}

/** Our listing with the target column and the target's text replaced by those of ACCEPT. */
function accepting(text: string): string {
	return text
		.replaceAll("DADDR     ", "ACCEPT    ")
		.replaceAll("DADDR ", "ACCEPT ")
		.replace(/ (ACCEPT|DADDR) set \S+$/gm, "")
		.replace(/-j (ACCEPT|DADDR) --set-daddr \S+$/gm, "-j ACCEPT");
}

/**
 * The installed version's listing with -n in the form of all versions but 1.8.9 and 1.8.10: protocols by name
 * if iptables itself has one.
 */
function withProtocolNames(text: string): string {
	return text.replace(/^(.*ACCEPT {4}[ !])(\d+) +(?=--|-f|!f)/gm, (_, lead: string, number: string) => {
		return `${lead}${builtInProtocolName(Number(number)).padEnd(4)} `;
	});
}

/** Loads rules into the real tables and compares every way of printing them. */
function compare(family: Family, rules: readonly ListedRule[]): void {
	const command = COMMAND[family];
	const byChain = (chain: string): ListedRule[] => rules.filter(({ rule }) => rule.chain === chain);
	const saved = saveTable("mangle", byChain, true);
	const input = saved.replace(/^(\[.*\] -A .*)$/gm, (line) => theirs(line));
	execFileSync(`${command}-restore`, ["-c"], { input, stdio: ["pipe", "pipe", "pipe"] });
	const real = (...argv: string[]): string => run(command, "-t", "mangle", ...argv);
	for (const letters of ["", "n", "nv", "nvx0", "v0"]) {
		const has = (letter: string): boolean => letters.includes(letter);
		const style = { numeric: has("n"), verbose: has("v"), exact: has("x"), lineNumbers: has("0") };
		const shown = CHAINS.mangle.map((chain) => listChain(chain, byChain(chain), style, names));
		const argv = [`-${letters.replace("0", "")}L`, ...(has("0") ? ["--line-numbers"] : [])];
		const theirs = real(...argv);
		assert.equal(accepting(shown.join("\n")), has("n") ? withProtocolNames(theirs) : theirs);
	}
	for (const verbose of [false, true]) {
		const lines = [
			...CHAINS.mangle.map((chain) => policyLine(chain, verbose)),
			...CHAINS.mangle.flatMap((chain) => byChain(chain).map((rule) => ruleLine(rule, verbose))),
		];
		assert.equal(accepting(lines.join("")), real("-S", ...(verbose ? ["-v"] : [])));
	}
	const theirsSaved = run(`${command}-save`, "-c", "-t", "mangle").replace(/^#.*\n/gm, "");
	assert.equal(accepting(saved), theirsSaved);
}

const SPECS: Readonly<Record<Family, readonly string[]>> = {
	ipv4: [
		"",
		"-m dscp --dscp 1",
		"-m dscp ! --dscp-class EF",
		"! -s 10.0.0.0/8 -d 192.0.2.1 -i eth+ -p tcp -m tcp ! --sport 10:20 --dport 80",
		"-d 10/8",
		"-s 10.1.2.3/255.255.0.0",
		"! -i eth0",
		"-i averylongname0",
		"-p udp --sport 53 --dport 1024:",
		"-p udp -m udp --sport :53",
		"-p tcp",
		"-p tcp -m tcp",
		"! -p 47",
		"-p 99 -f",
		"-p 253 ! -f",
		"-p icmp",
		"-p 4",
		"-m tos --tos 0x10",
		"-m tos ! --tos 0x10/0x3f",
		"-m tos --tos Minimize-Delay",
		"-m ecn --ecn-ip-ect 2",
		"-m ecn ! --ecn-ip-ect 0",
		"-m mark --mark 5",
		"-m mark ! --mark 5/0xff",
		"-m mac --mac-source 00:11:22:aa:bb:CC",
		"-m mac ! --mac-source 00:11:22:aa:bb:CC",
		"-p sctp -m sctp --sport 5 ! --dport 6:7",
		"-p dccp -m dccp --sport 5 ! --dport 6:7",
		"-p dccp --sport :",
		"-p sctp --sport 5 ! --dport :",
		"-p sctp --dport 0:",
		"-p udplite -m multiport --sports 5",
		"-p tcp -m multiport --sports 5,80,100:200",
		"-p tcp -m multiport ! --dports 5,80,100:200",
		"-p tcp -m multiport --ports 80,53",
		"-m addrtype --dst-type LOCAL",
		"-m addrtype ! --dst-type LOCAL",
		"-m length --length 100",
		"-m length ! --length 100:200",
		"-m length --length :200",
		"-m ttl --ttl-eq 64",
		"-m ttl ! --ttl 64",
		"-m ttl --ttl-lt 64",
		"-m ttl --ttl-gt 64",
		'-m comment --comment "hello world"',
		'-m comment --comment "q\\"uo\\\\te\'x"',
		"-m comment --comment plain",
		'-m comment --comment "a\ttab"',
		'-m comment --comment ""',
		"-m dscp --dscp 1 -m mark --mark 1 -m dscp --dscp 2",
	],
	ipv6: [
		"",
		"-s fc00:1000:0:6::10/128 -d fc00::/7 -m dscp --dscp 10",
		"-s 2001:db8:1111:2222:3333:4444:5555:6666 ! -d fc00:1234:5678::/64 -p icmpv6",
		"-s fc00::1/ffff::",
		"-s ::ffff:192.0.2.1",
		"-m hl --hl-eq 4",
		"-m hl ! --hl-eq 4",
		"-m hl --hl-lt 4",
		"-m hl --hl-gt 4",
		"-p mh",
		"-p hopopt",
		"-p esp",
		"-p tcp --dport 443",
		...[1, 2, 4, 6, 17, 33, 41, 47, 50, 51, 58, 89, 132, 135, 136, 139].map((number) => `-p ${number}`),
	],
};

function ruleOf(spec: string, family: Family): Rule {
	const vip = family === "ipv4" ? "192.0.2.1" : "2001:db8::1";
	return parseRuleSpec(`${spec} ${OURS} ${vip}`, { family, table: "mangle", chain: "INPUT" });
}

/**
 * From one digit to the rounding of every unit. ip6tables-nft-restore 1.8.9 drops counters, so they are zero
 * there.
 */
const COUNTS: Readonly<Record<Family, readonly bigint[]>> = {
	ipv4: [0n, 99999n, 100000n, 9999499n, 9999500n, 10240000n, 9999999999n, 123456789012345n],
	ipv6: [0n],
};

for (const family of ["ipv4", "ipv6"] as const) {
	describe(COMMAND[family], () => {
		test("prints every match as iptables does, in -L, -S and -save", () => {
			const rules = SPECS[family].map((spec, index) => {
				const count = COUNTS[family][index % COUNTS[family].length] ?? 0n;
				return { rule: ruleOf(spec, family), counters: { packets: count, bytes: count * 3n } };
			});
			compare(family, rules);
		});

		test("reads the notations that iptables reads, and prints the same with -v", () => {
			for (const spec of SPECS[family].filter((text) => !text.includes("comment"))) {
				const rule = ruleOf(spec, family);
				const words = spec.split(" ").filter((word) => word !== "");
				const said = run(COMMAND[family], "-v", "-t", "mangle", "-A", "INPUT", ...words, "-j", "ACCEPT");
				assert.equal(accepting(`${describeRule(rule)}\n`), said);
				run(COMMAND[family], "-t", "mangle", "-D", "INPUT", ...theirs(formatRuleSpec(rule)).split(" "));
			}
		});

		test("prints random rules as iptables does", () => {
			const known = (rule: Rule): boolean => {
				const text = formatRuleSpec(rule);
				// Not in iptables 1.8.9: -m udplite. inet_ntop writes ::a.b.c.d where RFC 5952 has ::x:y.
				if (/-m udplite|comment .*DADDR|-[sd] ::[\da-f]+(:[\da-f]+)?\/|--set-dport|--clear-dscp/.test(text))
					return false;
				// Without -n iptables looks up the name of a prefix in /etc/networks: 127.0.0.0/8 is
				// loopback/8.
				if (/-[sd] (0\.0\.0\.0|127\.0\.0\.0|169\.254\.0\.0|::)\//.test(text)) return false;
				// iptables-nft 1.8.9 refuses these, or rewrites them: it negates a half-open port range by
				// its complement.
				return !/! --[sd]port (0:\d+|\d+:65535)\b|! --length 0:65535|--ttl-lt 0 |--ttl-gt 255 |\/0x0+ /.test(
					text,
				);
			};
			const count = fc.bigInt({ min: 0n, max: family === "ipv4" ? (1n << 50n) - 1n : 0n });
			const one = arbitraryRule({ family, table: "mangle", accept: known });
			const rules = fc.sample(fc.tuple(one, count, count), 60);
			compare(
				family,
				rules.map(([rule, packets, bytes]) => ({ rule, counters: { packets, bytes } })),
			);
		});
	});
}
