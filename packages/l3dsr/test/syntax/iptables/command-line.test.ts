import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import type { Family } from "@l3dsr/packet";
import fc from "fast-check";
import { runs } from "../../../../../test/support/property-runs.ts";
import { L3dsrError } from "../../../src/errors.ts";
import { type CommandLine, OTHER_FAMILY, readCommand } from "../../../src/syntax/iptables/command-line.ts";
import { COMMAND_OPTIONS, MODE_OPTIONS } from "../../../src/syntax/iptables/command-options.ts";
import { modulesOf } from "../../../src/syntax/iptables/matches.ts";
import { parseServices, protocolNumber } from "../../../src/syntax/iptables/names.ts";
import { formatRuleSpec } from "../../../src/syntax/iptables/rule-format.ts";
import { splitWords, wordsOfArgv } from "../../../src/syntax/iptables/words.ts";
import { Problems } from "../../../src/syntax/problems.ts";

const services = parseServices("http 80/tcp www\nhttps 443/tcp\ndomain 53/udp\nsip 5060/udp\nsip 5061/tcp\n");
const VIP = { ipv4: "192.0.2.1", ipv6: "2001:db8::1" } as const;

function read(argv: readonly string[], family: Family = "ipv4"): CommandLine {
	const problems = new Problems();
	const command = readCommand(wordsOfArgv(argv), { family, services, problems });
	problems.throwIfAny();
	assert.ok(command !== undefined && command !== OTHER_FAMILY);
	return command;
}

function line(text: string, family: Family = "ipv4"): CommandLine {
	return read(
		splitWords(text, { source: "test", line: 1 }, new Problems()).map((word) => word.text),
		family,
	);
}

/** The canonical text of the parsed rule, without the target. */
function spec(text: string, family: Family, chain = "PREROUTING"): string {
	const { command } = line(`-t mangle -A ${chain} ${text} -j DADDR --set-daddr ${VIP[family]}`, family);
	assert.equal(command.kind, "append");
	const [rule] = command.rules;
	assert.ok(rule !== undefined);
	return formatRuleSpec(rule).replace(/ ?-j DADDR .*/, "");
}

/** Typed form → printed form; undefined: the same. With its own chain if PREROUTING is not possible. */
const SPELLINGS: readonly (readonly [typed: string, printed?: string, family?: Family, chain?: string])[] = [
	["-s 192.0.2.1", "-s 192.0.2.1/32"],
	["--source 192.0.2.77/24", "-s 192.0.2.0/24"],
	["--src=192.0.2.0/255.255.255.0", "-s 192.0.2.0/24"],
	["-s10/8", "-s 10.0.0.0/8"],
	["-s 192.168/16", "-s 192.168.0.0/16"],
	["-s 0/0", ""],
	["-s 0.0.0.0/0 -d 0.0.0.0/0.0.0.0", ""],
	["! -d 192.0.2.0/24"],
	["! --destination 192.0.2.0/24", "! -d 192.0.2.0/24"],
	["! --dst 192.0.2.0/24", "! -d 192.0.2.0/24"],
	["-s 2001:DB8:0::1", "-s 2001:db8::1/128", "ipv6"],
	["-d 2001:db8::/ffff:ffff::", "-d 2001:db8::/32", "ipv6"],
	["-s ::/0", "", "ipv6"],
	["-i eth0"],
	["--in-interface eth+", "-i eth+"],
	["! -i eth0"],
	["-i +", ""],
	["-o eth0", "-o eth0", "ipv4", "POSTROUTING"],
	["--out-interface=eth0", "-o eth0", "ipv4", "FORWARD"],
	["-p tcp"],
	["-p TCP", "-p tcp"],
	["-p 6", "-p tcp"],
	["-p 0x11", "-p udp"],
	["--protocol udp", "-p udp"],
	["--proto=udp", "-p udp"],
	["-p all", ""],
	["-p 0", ""],
	["! -p 47", "! -p gre"],
	["-p 253"],
	["-p icmpv6", "-p ipv6-icmp", "ipv6"],
	["-p mh", "-p mobility-header", "ipv6"],
	["-p hopopt", "", "ipv6"],
	["-p OSPFIGP", "-p ospf"],
	["-p ip-encap", "-p ipencap"],
	["-p sun-nd", "-p 77"],
	["-f"],
	["! --fragment", "! -f"],
	["--fragments", "-f"],
	["-m dscp --dscp 7", "-m dscp --dscp 0x07"],
	["-m dscp --dscp 0x3f"],
	["-m dscp --dscp 017", "-m dscp --dscp 0x0f"],
	["--match dscp ! --dscp=0", "-m dscp ! --dscp 0x00"],
	["-m dscp --dscp-class ef", "-m dscp --dscp 0x2e"],
	["-m dscp ! --dscp-class AF31", "-m dscp ! --dscp 0x1a"],
	["-m dscp --dscp-class CS7", "-m dscp --dscp 0x38"],
	["-m dscp --dscp-class BE", "-m dscp --dscp 0x00"],
	["-m dscp --dscp-c BE", "-m dscp --dscp 0x00"],
	["-m tos --tos 16", "-m tos --tos 0x10/0xff"],
	["-m tos ! --tos 0x10/0x1e"],
	["-m tos --tos minimize-delay", "-m tos --tos 0x10/0x3f"],
	["-m ecn --ecn-ip-ect 2"],
	["-m ecn ! --ecn-ip-ect 0"],
	["-m mark --mark 5", "-m mark --mark 0x5"],
	["-m mark --mark 0x5/0xffffffff", "-m mark --mark 0x5"],
	["-m mark ! --mark 0x5/0xff"],
	["-m mac --mac-source 0:1:2:aA:BB:cc", "-m mac --mac-source 00:01:02:aa:bb:cc"],
	["-m mac ! --mac-source 00:01:02:aa:bb:cc"],
	["-p tcp --dport 80", "-p tcp -m tcp --dport 80"],
	["-p tcp --dport http", "-p tcp -m tcp --dport 80"],
	["-p tcp --dport sip", "-p tcp -m tcp --dport 5061"],
	["-p udp --dport sip", "-p udp -m udp --dport 5060"],
	["-p tcp --destination-port 80 ! --source-port :1023", "-p tcp -m tcp ! --sport 0:1023 --dport 80"],
	["-p tcp --dp 80", "-p tcp -m tcp --dport 80"],
	["-p tcp --dport 0:65535", "-p tcp -m tcp"],
	["-p tcp -m dscp --dscp 1 --dport 80", "-p tcp -m dscp --dscp 0x01 -m tcp --dport 80"],
	["-m tcp -p tcp --dport 80", "-p tcp -m tcp --dport 80"],
	["-p udplite --dport 7:", "-p udplite -m udplite --dport 7:65535"],
	["-p udp -m udp ! --dport 53"],
	["-p udp -m multiport --sports 53"],
	["-p udp -m multiport ! --dports 53,67"],
	["-p udp -m multiport ! --ports 53"],
	["-p sctp --sport 7", "-p sctp -m sctp --sport 7"],
	["-p dccp -m dccp"],
	["-p dccp --sport :", "-p dccp -m dccp --sport 0:65535"],
	["-p sctp ! --sport 5 --dport 0:", "-p sctp -m sctp ! --sport 5 --dport 0:65535"],
	["-p udp --sport : ! --dport :", "-p udp -m udp ! --dport 0:65535"],
	["-p tcp -m multiport --dports http,443,8000:8099", "-p tcp -m multiport --dports 80,443,8000:8099"],
	["-p udp -m multiport ! --source-ports 53", "-p udp -m multiport ! --sports 53"],
	["-p udp -m multiport --ports 53"],
	["-m multiport -p tcp --destination-ports=80", "-p tcp -m multiport --dports 80"],
	["-m addrtype --dst-type local", "-m addrtype --dst-type LOCAL"],
	["-m addrtype ! --dst-type LOCAL"],
	["-m length --length 100"],
	["-m length ! --length 100:", "-m length ! --length 100:65535"],
	["-m ttl --ttl 64", "-m ttl --ttl-eq 64"],
	["-m ttl ! --ttl-eq 64"],
	["-m ttl --ttl-lt 64"],
	["-m ttl --ttl-gt 64"],
	["-m hl --hl-eq 64", "-m hl --hl-eq 64", "ipv6"],
	["-m hl ! --hl-eq 64", "-m hl ! --hl-eq 64", "ipv6"],
	["-m hl --hl-lt 64", "-m hl --hl-lt 64", "ipv6"],
	["-m hl --hl-gt 64", "-m hl --hl-gt 64", "ipv6"],
	['-m comment --comment "two words"'],
	["-m comment --comment --dscp"],
	["-m dscp --dscp 1 -m dscp ! --dscp 2", "-m dscp --dscp 0x01 -m dscp ! --dscp 0x02"],
];

describe("a rule", () => {
	for (const [typed, printed = typed, family = "ipv4", chain] of SPELLINGS) {
		test(`${typed} (${family}) is ${printed === "" ? "no match at all" : printed}`, () => {
			assert.equal(spec(typed, family, chain), printed);
		});
	}

	test("every match and option of the tables is among the notations above", () => {
		const typed = SPELLINGS.map(([text]) => ` ${text} `).join("");
		for (const family of ["ipv4", "ipv6"] as const) {
			for (const { name, syntax } of modulesOf(family)) {
				for (const { long, negatable } of syntax.options(name)) {
					assert.ok(typed.includes(`--${long[0]}`), `--${long[0]}`);
					const negated = long.some((option) => typed.includes(`! --${option}`));
					if (negatable === true) assert.ok(negated, `! --${long[0]}`);
				}
			}
		}
	});

	test("lists of addresses make several rules, and the target has two more options", () => {
		const rest = "-j DADDR --clear-dscp --set-dport=8080 --set-daddr=192.0.2.9";
		const { command } = line(`-A PREROUTING -s 192.0.2.1,192.0.2.2 -d 10/8,11/8 ${rest}`);
		assert.equal(command.kind, "append");
		const end = "-j DADDR --set-daddr 192.0.2.9 --set-dport 8080 --clear-dscp";
		assert.deepEqual(command.rules.map(formatRuleSpec), [
			`-s 192.0.2.1/32 -d 10.0.0.0/8 ${end}`,
			`-s 192.0.2.1/32 -d 11.0.0.0/8 ${end}`,
			`-s 192.0.2.2/32 -d 10.0.0.0/8 ${end}`,
			`-s 192.0.2.2/32 -d 11.0.0.0/8 ${end}`,
		]);
	});
});

describe("a command", () => {
	const plain = { numeric: false, verbose: false, exact: false, lineNumbers: false };
	const list = { kind: "list", table: "raw", style: plain };
	const cases: readonly (readonly [string, unknown])[] = [
		["-L", list],
		["--list", list],
		["--list=OUTPUT", { ...list, chain: "OUTPUT" }],
		["-LOUTPUT", { ...list, chain: "OUTPUT" }],
		["-L OUTPUT 3", { ...list, chain: "OUTPUT", at: 3 }],
		[
			"-nvxL OUTPUT --line",
			{ ...list, chain: "OUTPUT", style: { numeric: true, verbose: true, exact: true, lineNumbers: true } },
		],
		["-L OUTPUT -n", { ...list, chain: "OUTPUT", style: { ...plain, numeric: true } }],
		["-Z -L", { ...list, zero: {} }],
		["-S -Z OUTPUT", { ...list, kind: "list-rules", chain: "OUTPUT", zero: {} }],
		["-L OUTPUT 2 -Z", { ...list, chain: "OUTPUT", at: 2, zero: {} }],
		["-Z OUTPUT 2 -L", { ...list, chain: "OUTPUT", at: 2, zero: { at: 2 } }],
		["-t mangle -t raw -L", list],
		["-M /sbin/modprobe -L", list],
		["--modprobe=/sbin/modprobe -M again -L", list],
		["-P OUTPUT ACCEPT", { kind: "no-op", table: "raw", chain: "OUTPUT" }],
		["--policy OUTPUT ACCEPT -c 1 2", { kind: "no-op", table: "raw", chain: "OUTPUT" }],
		["-P INPUT ACCEPT", undefined],
		["-P OUTPUT DROP", undefined],
		["-P OUTPUT", undefined],
		["-X", { kind: "no-op", table: "raw" }],
		["--delete-chain", { kind: "no-op", table: "raw" }],
		["-X VIPS", undefined],
		["-X OUTPUT", undefined],
		["-n -n -L", undefined],
		["--list-rules -t mangle INPUT", undefined],
		["-t mangle --list-rules INPUT", { ...list, table: "mangle", kind: "list-rules", chain: "INPUT" }],
		["-F", { kind: "flush", table: "raw" }],
		["--flush PREROUTING", { kind: "flush", table: "raw", chain: "PREROUTING" }],
		["-Z PREROUTING 2", { kind: "zero", table: "raw", chain: "PREROUTING", at: 2 }],
		["-h", { kind: "help" }],
		["-m dscp -h", { kind: "help" }],
		["--version", { kind: "version" }],
		["-4 -F", { kind: "flush", table: "raw" }],
	];
	for (const [text, expected] of cases) {
		test(`${text} is ${expected === undefined ? "refused" : "read"}`, () => {
			if (expected === undefined) assert.throws(() => line(text), L3dsrError);
			else {
				const { position: _, ...command } = { position: undefined, ...line(text).command };
				assert.deepEqual(command, expected);
			}
		});
	}

	test("rule numbers, counters and the wait are accepted where iptables accepts them", () => {
		const rule = "-j DADDR --set-daddr 192.0.2.1";
		const insert = line(`-I OUTPUT 3 -c 5 6 ${rule}`).command;
		assert.ok(insert.kind === "insert" && insert.at === 3);
		assert.deepEqual(insert.counters, { packets: 5n, bytes: 6n });
		const first = line(`-I OUTPUT ${rule} --set-counters 7,8`).command;
		assert.ok(first.kind === "insert" && first.at === 1 && first.counters?.bytes === 8n);
		const replace = line(`--replace OUTPUT 2 ${rule}`).command;
		assert.ok(replace.kind === "replace" && replace.at === 2);
		assert.ok(line("-D OUTPUT 2").command.kind === "delete-number");
		assert.ok(line(`-D OUTPUT ${rule}`).command.kind === "delete");
		assert.ok(line(`--check OUTPUT ${rule}`).command.kind === "check");
		assert.equal(line("-L").waitSeconds, 0);
		assert.equal(line("-w -L").waitSeconds, Number.POSITIVE_INFINITY);
		assert.equal(line("-L -w 5").waitSeconds, 5);
		assert.equal(line("-w5 -L").waitSeconds, 5);
		assert.equal(line("--wait=5 -L").waitSeconds, 5);
		assert.equal(line("-W 100 -L").waitSeconds, 0);
	});

	test("-4 and -6 in a file give a line to the other command, whatever it contains", () => {
		const problems = new Problems();
		const words = splitWords("-6 -A PREROUTING -m hl --hl-eq 3", { source: "f", line: 1 }, problems);
		assert.equal(
			readCommand(words, { family: "ipv4", services, problems, restoreTable: "raw" }),
			OTHER_FAMILY,
		);
		assert.equal(problems.count, 0);
	});

	test("every name and alias in this host's /etc/protocols is a protocol", () => {
		const lines = readFileSync("/etc/protocols", "utf8").replace(/#.*/g, "").split("\n");
		const entries = lines.map((one) => one.split(/\s+/)).filter(([name]) => name);
		assert.ok(entries.length > 40, `${entries.length} protocols`);
		for (const [name = "", number = "", ...aliases] of entries) {
			// A number too large for the field in the IP header, such as MPTCP's.
			if (Number(number) > 255) continue;
			for (const one of [name, ...aliases].filter((text) => text !== "")) {
				assert.equal(protocolNumber(one), Number(number), one);
			}
		}
		assert.equal(protocolNumber("constructor"), undefined);
	});

	test("the short options of the tables do not clash", () => {
		const all = [...Object.values(COMMAND_OPTIONS), ...Object.values(MODE_OPTIONS)];
		const letters = [
			"s",
			"d",
			"i",
			"o",
			"p",
			"f",
			"m",
			"j",
			...all.flatMap((one) => ("short" in one ? one.short : [])),
		];
		assert.equal(new Set(letters).size, letters.length);
	});
});

test("any input is read or refused with a place, without an exception", () => {
	const vocabulary = [
		..."-A -I -D -R -C -L -S -F -Z -P -X -M -t -w -c -n -v -m -p -s -i -j -f ! -- - --".split(" "),
		..."raw mangle PREROUTING INPUT DADDR dscp tcp multiport comment 1 0 -1 eth0 10/8 1.2.3.4 ::1 x".split(
			" ",
		),
		..."--dscp --dscp=64 --dport=80: --dports=1,,2 --set-daddr --set-daddr=1.1.1.1 --s --tos=/ --mark=1/2/3".split(
			" ",
		),
		"",
		"a b",
		"it's",
	];
	const word = fc.oneof(
		{ weight: 5, arbitrary: fc.constantFrom(...vocabulary) },
		fc.string({ maxLength: 6 }),
	);
	fc.assert(
		fc.property(fc.array(word, { maxLength: 12 }), (argv) => {
			try {
				read(argv);
			} catch (error) {
				assert.ok(error instanceof L3dsrError, String(error));
				for (const { position } of error.diagnostics) {
					if (position === undefined) continue;
					assert.ok(position.column >= 1 && position.column - 1 <= position.text.length);
					assert.ok(position.column - 1 + position.length <= Math.max(1, position.text.length));
				}
			}
		}),
		{ numRuns: runs(3000), examples: [[["-c", ","]]] },
	);
});
