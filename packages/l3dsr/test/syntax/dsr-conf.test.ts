import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "@l3dsr/packet";
import fc from "fast-check";
import {
	collectServices,
	describeFinding,
	hostNamesOf,
	isFault,
	parseDsrConf,
} from "../../src/syntax/dsr-conf.ts";

/** Names that these tests resolve. */
const HOSTS: Readonly<Record<string, string>> = { "www.example.net": "192.0.2.80", w2: "192.0.2.81" };

function read(text: string, file = "a.conf") {
	return collectServices(parseDsrConf(file, text), (name) => parseAddress(HOSTS[name] ?? ""));
}

/** Each service as `VIP written/VIP normalised = DSCP written/DSCP`. */
function services(text: string): string[] {
	return read(text).services.map(({ service, vipText, dscpText }) => {
		const code = service.selection?.dscp;
		return `${vipText}/${service.vip.text}${code === undefined ? "" : ` = ${dscpText}/${code}`}`;
	});
}

function messages(text: string): string[] {
	return read(text).findings.map(describeFinding);
}

const accepted: readonly (readonly [title: string, text: string, expected: readonly string[]])[] = [
	["an L3DSR service", "192.0.2.10=28\n", ["192.0.2.10/192.0.2.10 = 28/28"]],
	["an L2DSR service", "192.0.2.11\n", ["192.0.2.11/192.0.2.11"]],
	["a last line without newline", "192.0.2.11", ["192.0.2.11/192.0.2.11"]],
	["blanks and tabs around both values", " \t192.0.2.10\t = \t28 \t\n", ["192.0.2.10/192.0.2.10 = 28/28"]],
	[
		"comments to the end of the line",
		"# x = y\n192.0.2.10=28# = z\n  #\n",
		["192.0.2.10/192.0.2.10 = 28/28"],
	],
	["nothing in empty lines", "\n \t\n\n", []],
	[
		"octal codes",
		"192.0.2.10=041\n192.0.2.11=00\n",
		["192.0.2.10/192.0.2.10 = 041/33", "192.0.2.11/192.0.2.11 = 00/0"],
	],
	[
		"hex codes",
		"192.0.2.10=0x21\n192.0.2.11=0X2a\n",
		["192.0.2.10/192.0.2.10 = 0x21/33", "192.0.2.11/192.0.2.11 = 0X2a/42"],
	],
	[
		"both ends of the range",
		"192.0.2.10=0\n192.0.2.11=63\n",
		["192.0.2.10/192.0.2.10 = 0/0", "192.0.2.11/192.0.2.11 = 63/63"],
	],
	[
		"IPv6 in any case and notation",
		"2A00:0::1=1\n::=2\n1:2:3:4:5:6:7:8\n",
		["2A00:0::1/2a00::1 = 1/1", "::/:: = 2/2", "1:2:3:4:5:6:7:8/1:2:3:4:5:6:7:8"],
	],
	["host names", "www.example.net=5\nw2\n", ["www.example.net/192.0.2.80 = 5/5", "w2/192.0.2.81"]],
	[
		"one VIP with several codes",
		"192.0.2.10=1\n192.0.2.10=2\n192.0.2.10\n",
		["192.0.2.10/192.0.2.10 = 1/1", "192.0.2.10/192.0.2.10 = 2/2", "192.0.2.10/192.0.2.10"],
	],
	[
		"one code for a VIP of each family",
		"192.0.2.10=10\n2001:db8::1=0xa\n",
		["192.0.2.10/192.0.2.10 = 10/10", "2001:db8::1/2001:db8::1 = 0xa/10"],
	],
];
for (const [title, text, expected] of accepted) {
	test(`reads ${title}`, () => {
		assert.deepEqual(messages(text), []);
		assert.deepEqual(services(text), expected);
	});
}

test("a service written twice, in any notation, is reported and counts once", () => {
	const text = "w2=7\n2A00::1=10\n192.0.2.81=7\n2a00:0::1=012\n192.0.2.81\nw2\n192.0.2.81=8\n";
	const lines = (type: string, previous: number, duplicate: number): string =>
		`- Prev: ${type} at "a.conf", line ${previous}.\n- Dup:  ${type} at "a.conf", line ${duplicate}.`;
	assert.deepEqual(messages(text), [
		`Duplicate DSRs found for 192.0.2.81.\n${lines("L3DSR", 1, 3)}`,
		`Duplicate DSRs found for 2a00:0::1.\n${lines("L3DSR", 2, 4)}`,
		`Duplicate DSRs found for 192.0.2.81.\n${lines("L2DSR", 5, 6)}`,
	]);
	assert.deepEqual(services(text), [
		"w2/192.0.2.81 = 7/7",
		"2A00::1/2a00::1 = 10/10",
		"192.0.2.81/192.0.2.81",
		"192.0.2.81/192.0.2.81 = 8/8",
	]);
	assert.ok(!read(text).findings.some(isFault));
});

const unrecognized = [
	"192.0.2.300",
	"010.0.0.1",
	"192.0.2",
	"192.0.2.1.5",
	"192.0.2.10/32",
	"192.0.2.10 28",
	"192.0.2.10=",
	"=28",
	"192.0.2.10==28",
	"192.0.2.10=1=2",
	"192.0.2.10=2 8",
	"192.0. 2.10",
	"192.0.2.10=-1",
	"192.0.2.10=+1",
	"192.0.2.10=08",
	"192.0.2.10=0x",
	"192.0.2.10=0xg",
	"192.0.2.10=1.0",
	"192.0.2.10=AF41",
	"192.0.2.10=28\r",
	"1::2::3",
	"2001:db8:::1",
	"12345::1",
	"::ffff:192.0.2.1",
	"fe80::1%lo",
	"1:2:3:4:5:6:7",
	"g::1",
	"2001:db8::1/128",
	"[2001:db8::1]",
	"-a.example.net",
	"a..b",
	"a_.-b",
	"10.1",
	"0x7f000001",
	"host:80",
	"w2,w3",
	"*",
	"=",
];
for (const line of unrecognized) {
	test(`does not recognise ${JSON.stringify(line)}, and stops reading`, () => {
		assert.deepEqual(messages(`192.0.2.1\n${line}\nnonsense=\n`), [
			"Invalid config line at a.conf, line 2.  Unrecognized VIP/DSCP.",
		]);
	});
}

test("a code above 63 is skipped and its line reported as written, however large it is", () => {
	const text =
		"192.0.2.10=64\nno.such.name=0x40\n192.0.2.11=0100\n192.0.2.12=99999999999999999999\n192.0.2.13=3\n";
	assert.deepEqual(messages(text), [
		'Invalid DSCP value at "a.conf", line 1.  "64" too large (max=63).',
		'Invalid DSCP value at "a.conf", line 2.  "0x40" too large (max=63).',
		'Invalid DSCP value at "a.conf", line 3.  "0100" too large (max=63).',
		'Invalid DSCP value at "a.conf", line 4.  "99999999999999999999" too large (max=63).',
	]);
	assert.deepEqual(services(text), ["192.0.2.13/192.0.2.13 = 3/3"]);
});

test("a code for two VIPs of a family is a conflict, reported in the later notation, and the first VIP stays", () => {
	const text = "192.0.2.10=10\n192.0.2.11=0xa\n2001:DB8::1=012\n2001:db8::2=10\nw2=012\n192.0.2.10=012\n";
	assert.deepEqual(messages(text), [
		'Conflicting DSRs (IP=192.0.2.10, IP=192.0.2.11) found with DSCP 0xa.\n- Prev: L3DSR at "a.conf", line 1.\n- Dup:  L3DSR at "a.conf", line 2.',
		'Conflicting DSRs (IP=2001:DB8::1, IP=2001:db8::2) found with DSCP 10.\n- Prev: L3DSR at "a.conf", line 3.\n- Dup:  L3DSR at "a.conf", line 4.',
		'Conflicting DSRs (IP=192.0.2.10, IP=w2) found with DSCP 012.\n- Prev: L3DSR at "a.conf", line 1.\n- Dup:  L3DSR at "a.conf", line 5.',
		'Duplicate DSRs found for 192.0.2.10.\n- Prev: L3DSR at "a.conf", line 1.\n- Dup:  L3DSR at "a.conf", line 6.',
	]);
	assert.deepEqual(services(text), ["192.0.2.10/192.0.2.10 = 10/10", "2001:DB8::1/2001:db8::1 = 012/10"]);
});

test("a conflict between files names both", () => {
	const entries = [
		...parseDsrConf("/etc/a b.conf", "\n192.0.2.1=1\n"),
		...parseDsrConf("x/c.conf", "192.0.2.2=1"),
	];
	assert.deepEqual(collectServices(entries, () => undefined).findings.map(describeFinding), [
		'Conflicting DSRs (IP=192.0.2.1, IP=192.0.2.2) found with DSCP 1.\n- Prev: L3DSR at "/etc/a b.conf", line 2.\n- Dup:  L3DSR at "x/c.conf", line 1.',
	]);
});

test("a name without an IPv4 address is reported and left out", () => {
	assert.deepEqual(messages("nowhere.example.net=3\nwww.example.net=3\n"), [
		'Cannot convert fqdn "nowhere.example.net" to an IPv4 address.',
	]);
	assert.deepEqual(services("nowhere.example.net=3\nw2=3\n"), ["w2/192.0.2.81 = 3/3"]);
});

test("resolves each host name once, and none whose line is skipped", () => {
	const entries = parseDsrConf("f", "b=1\na\nb=2\nc=64\n192.0.2.1\n2001:db8::1\n");
	assert.deepEqual(hostNamesOf(entries), ["b", "a"]);
});

test("any text gives entries with places in it, without an exception", () => {
	fc.assert(
		fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
			const lines = text.split("\n").length;
			for (const { file, line } of parseDsrConf("f", text)) {
				assert.equal(file, "f");
				assert(line >= 1 && line <= lines);
			}
		}),
	);
});

test("reports additions of editors: Windows line ends, a byte order mark", () => {
	const hints = (text: string) =>
		read(text).findings.map((finding) => ("hint" in finding ? finding.hint : undefined));
	assert.deepEqual(hints("192.0.2.10=28\r\n"), [
		"the file has the line ends of Windows: sed -i 's/\\r$//' a.conf",
	]);
	const [entry] = parseDsrConf("/etc/dsr.d/it's new.conf", "192.0.2.10=28\r\n");
	assert.equal(
		entry?.kind === "unrecognized" && entry.hint,
		"the file has the line ends of Windows: sed -i 's/\\r$//' '/etc/dsr.d/it'\\''s new.conf'",
	);
	assert.match(hints("\ufeff192.0.2.10=28\n")[0] ?? "", /^the file begins with a byte order mark: sed /);
	assert.deepEqual(hints("192.0.2.10=x\n"), [undefined]);
	assert.deepEqual(messages("\ufeff\r\n# empty\r\n \r\n"), []);
});
