import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import { exitCodeOf } from "../../../src/cli/error-table.ts";
import { L3dsrError, renderDiagnostic } from "../../../src/errors.ts";
import type { Fleet } from "../../../src/model/fleet.ts";
import { parseFleet } from "../../../src/syntax/fleet/parse-fleet.ts";

/** The output for this file: every problem, or nothing. */
function problemsOf(text: string): string {
	try {
		parseFleet(text, "fleet.yaml");
		return "";
	} catch (error) {
		assert(error instanceof L3dsrError);
		assert.equal(exitCodeOf(error), 2);
		return error.diagnostics.map(renderDiagnostic).join("\n");
	}
}

function parse(text: string): Fleet {
	assert.equal(problemsOf(text), "");
	return parseFleet(text, "fleet.yaml");
}

const FLEET = `
vips:
  - name: web
    addresses: [192.0.2.10, "2001:db8::10"]
    dscp: { ipv4: 7, ipv6: AF11 }
    services:
      - { port: 443, protocol: [udp, tcp], pool: front }
      - { port: any, protocol: tcp, pool: ftp, affinity: source }
    echo: reply
  - { name: spare, addresses: 192.0.2.11, dscp: 0x9 }
pools:
  front:
    reals:
      - { name: a1, addresses: [10.1.0.11, "2001:db8:1::11"], weight: 10 }
      - { name: a2, addresses: 10.1.0.12, state: drain }
    check: { type: https, path: /healthz, expect: [200, 204], host: web.example, verify: false,
             interval: 100ms, timeout: 0.08s, fall: 4, rise: 1 }
    drain: 1.5m
    floor: 25%
  ftp:
    reals: [{ name: f, addresses: [10.1.0.13, "2001:db8:1::13"] }]
    check: { type: udp, send: 0x00ff, expect: pong, port: 7, interval: 2s, timeout: 1s }
`;

test("reads every key", () => {
	const fleet = parse(FLEET);
	const text = JSON.stringify(fleet, (key, value) => (key === "addresses" ? value.map(textOf) : value));
	assert.deepEqual(JSON.parse(text), {
		vips: [
			{
				name: "web",
				addresses: ["192.0.2.10", "2001:db8::10"],
				dscp: { ipv4: 7, ipv6: 10 },
				services: [
					{ port: 443, protocols: ["tcp", "udp"], pool: "front", affinity: "flow" },
					{ port: "any", protocols: ["tcp"], pool: "ftp", affinity: "source" },
				],
				echo: "reply",
			},
			{ name: "spare", addresses: ["192.0.2.11"], dscp: { ipv4: 9 }, services: [], echo: "kernel" },
		],
		pools: [
			{
				name: "front",
				reals: [
					{ name: "a1", addresses: ["10.1.0.11", "2001:db8:1::11"], weight: 10, state: "enabled" },
					{ name: "a2", addresses: ["10.1.0.12"], weight: 1, state: "drain" },
				],
				drainMs: 90_000,
				floor: 0.25,
				check: {
					type: "https",
					path: "/healthz",
					expect: [200, 204],
					host: "web.example",
					verify: false,
					intervalMs: 100,
					timeoutMs: 80,
					fall: 4,
					rise: 1,
				},
			},
			{
				name: "ftp",
				reals: [{ name: "f", addresses: ["10.1.0.13", "2001:db8:1::13"], weight: 1, state: "enabled" }],
				drainMs: 900_000,
				floor: 0.5,
				check: {
					type: "udp",
					port: 7,
					send: { 0: 0, 1: 255 },
					expect: { 0: 112, 1: 111, 2: 110, 3: 103 },
					intervalMs: 2000,
					timeoutMs: 1000,
					fall: 3,
					rise: 2,
				},
			},
		],
	});
});

function textOf({ text }: { readonly text: string }): string {
	return text;
}

test("accepts an explicit empty list of VIPs, but not an empty value", () => {
	assert.deepEqual(parse("vips: []\n"), { vips: [], pools: [] });
	for (const text of ["", "# nothing\n", "---\n", "{}\n"]) {
		assert.match(
			problemsOf(text),
			/error\[CONFIG_MISSING\]: the fleet is empty[\s\S]*hint: write `vips: \[\]`/,
		);
	}
	assert.match(problemsOf("vips:\n"), /vips is empty, expected a list/);
	assert.match(problemsOf("pools: {}\n"), /vips is missing/);
});

const vip = (more: string) => `vips: [{ name: web, addresses: 192.0.2.10, dscp: 7, ${more} }]\n`;
const service = (more: string) =>
	`${vip(`services: [{ port: 80, protocol: tcp, pool: front, ${more} }]`)}pools: { front: { reals: [] } }\n`;
const pool = (more: string) => `vips: []\npools:\n  front: { reals: [], ${more} }\n`;
const real = (more: string) => pool("x: 1").replace("reals: [], x: 1", `reals: [{ name: a, ${more} }]`);
const check = (more: string) => pool(`check: { interval: 1s, timeout: 1s, ${more} }`);

/** A fault, and the line that names it. */
const FAULTS: readonly (readonly [fault: string, text: string, message: RegExp])[] = [
	["YAML that is not closed", "vips: [", /^fleet\.yaml:1:8: error\[CONFIG_SYNTAX\]/],
	["a text for a file", "hello\n", /the fleet has the wrong form, expected a mapping of keys/],
	["a list for a file", "- 1\n", /the fleet has the wrong form/],
	["a key twice", "vips: []\nvips: []\n", /CONFIG_SYNTAX\]: map keys must be unique/],
	["an unknown key", "vips: []\npoolz: {}\n", /the fleet has no key poolz\n[\s\S]*did you mean pools\?/],
	["an unknown key of a VIP", vip("adresses: x"), /a VIP has no key adresses\n[\s\S]*did you mean addresses/],
	["an unknown key of a service", service("ports: 1"), /a service has no key ports\n[\s\S]*mean port\?/],
	["an unknown key of a pool", pool("checks: {}"), /a pool has no key checks\n[\s\S]*did you mean check/],
	["an unknown key of a real server", real("addresses: 10.0.0.1, wait: 1"), /a real server has no key wait/],
	["an unknown key of a check", check("type: tcp, intervall: 1s"), /a check has no key intervall/],
	["an unknown family", vip("echo: kernel").replace("7", "{ ipv4: 7, ip6: 9 }"), /dscp has no key ip6/],
	["VIPs that are not a list", "vips: { a: 1 }\n", /vips has the wrong form, expected a list/],
	["a VIP that is a word", "vips: [web]\n", /an entry of vips has the wrong form/],
	["a VIP without a name", "vips: [{ addresses: 192.0.2.1, dscp: 1 }]\n", /name is missing/],
	["a VIP without an address", "vips: [{ name: a, dscp: 1 }]\n", /addresses is missing/],
	["a VIP without a code", "vips: [{ name: a, addresses: 192.0.2.1 }]\n", /dscp is missing/],
	["a name with blanks", vip("echo: kernel").replace("web", "w w"), /"w w" is not a VIP name/],
	["an address that is none", vip("").replace("192.0.2.10", "192.0.2.300"), /"192\.0\.2\.300" is/],
	["a prefix", vip("").replace("192.0.2.10", "192.0.2.10/32"), /hint: write 192\.0\.2\.10: a VIP has no pre/],
	["a loopback address", vip("").replace("192.0.2.10", "127.0.0.1"), /127\.0\.0\.1 is a loopback address/],
	["a multicast address", vip("").replace("192.0.2.10", "224.0.0.1"), /224\.0\.0\.1 is a multicast address/],
	["a link-local address", vip("").replace("192.0.2.10", '"fe80::1"'), /fe80::1 is a link-local address/],
	["DSCP 0", vip("").replace("7", "0"), /CONFIG_DSCP_RANGE\]: DSCP 0 cannot stand for a VIP/],
	["DSCP 64", vip("").replace("7", "64"), /CONFIG_DSCP_RANGE\]: DSCP 64 is out of range/],
	["a TOS byte", vip("").replace("7", "0x1c0"), /DSCP 0x1c0 is out of range/],
	["an octal code", vip("").replace("7", "010"), /DSCP 010 begins with a zero and is ambiguous/],
	["an unknown class", vip("").replace("7", "AF99"), /"AF99" is no(t a)? DSCP/],
	[
		"a code for one family of two",
		vip("").replace("192.0.2.10, dscp: 7", '["192.0.2.1", "2001:db8::1"], dscp: { ipv4: 7 }'),
		/dscp has no ipv6, but the VIP has an address of that family/,
	],
	["an unknown echo mode", vip("echo: maybe"), /echo cannot be "maybe", expected kernel, reply, server/],
	["port 0", service("").replace("port: 80", "port: 0"), /"0" is not a port, expected 1-65535/],
	["port 65536", service("").replace("port: 80", "port: 65536"), /"65536" is not a port/],
	["a port by name", service("").replace("port: 80", "port: http"), /"http" is not a port/],
	["a service without a port", service("").replace("port: 80, ", ""), /port is missing/],
	["a service without a protocol", service("").replace("protocol: tcp, ", ""), /protocol is missing/],
	[
		"a protocol that is not balanced",
		service("").replace("tcp", "sctp"),
		/"sctp" cannot be balanced, expected tcp or udp/,
	],
	[
		"an empty list of protocols",
		service("").replace("tcp", "[]"),
		/protocol is empty, expected a value or a list of values/,
	],
	["a service without a pool", service("").replace("pool: front, ", ""), /pool is missing/],
	[
		"a pool that is not there",
		service("").replace("pool: front", "pool: frnt"),
		/there is no pool frnt\n[\s\S]*did you mean front\?/,
	],
	["an unknown affinity", service("affinity: sticky"), /affinity cannot be "sticky", expected flow, source/],
	["pools in a list", "vips: []\npools: []\n", /pools is empty, expected a mapping of keys/],
	["a pool name with blanks", "vips: []\npools: { 'a b': { reals: [] } }\n", /pools/],
	["a pool without real servers", "vips: []\npools: { a: {} }\n", /reals is missing/],
	["a real server without an address", real(""), /addresses is missing/],
	["a subnet for a real server", real("addresses: 10.0.0.0/24"), /a real server is one address/],
	["a multicast real server", real('addresses: "ff02::1"'), /ff02::1 is a multicast address, not a real/],
	[
		"two addresses of one family",
		real("addresses: [10.0.0.1, 10.0.0.2]"),
		/real server a has two addresses of one/,
	],
	["a weight below 0", real("addresses: 10.0.0.1, weight: -1"), /"-1" is not a weight, expected 0-1000/],
	["a weight above 1000", real("addresses: 10.0.0.1, weight: 1001"), /"1001" is not a weight/],
	["a weight with a point", real("addresses: 10.0.0.1, weight: 1.5"), /"1\.5" is not a weight/],
	[
		"an unknown state",
		real("addresses: 10.0.0.1, state: up"),
		/state cannot be "up", expected enabled, drain, disabled/,
	],
	[
		"a duration without a unit",
		pool("drain: 900"),
		/"900" is not a duration[\s\S]*hint: write 900s or 900ms/,
	],
	["a duration of no length", pool("drain: 0s"), /0s is shorter than 1ms/],
	["a drain that is too long", pool("drain: 13h"), /13h is longer than 12h/],
	[
		"a floor that is not a percentage",
		pool("floor: 0.5"),
		/"0\.5" is not a percentage[\s\S]*hint: write 50%/,
	],
	["a floor above 100%", pool("floor: 101%"), /"101%" is not a percentage/],
	["a check without a type", check(""), /type is missing/],
	["an unknown type of check", check("type: htp"), /type cannot be "htp"[\s\S]*did you mean http\?/],
	["a check without a timeout", pool("check: { type: tcp, interval: 1s }"), /timeout is missing/],
	[
		"a timeout above the interval",
		check("type: tcp").replace("timeout: 1s", "timeout: 2s"),
		/the timeout of a check is longer than its interval/,
	],
	[
		"a key of another check",
		check("type: tcp, path: /x"),
		/a check of type tcp has no path[\s\S]*path belongs to http, https/,
	],
	["a path that is not absolute", check("type: http, path: healthz"), /"healthz" is not a request path/],
	["a status that is none", check("type: http, expect: 99"), /"99" is not an HTTP status code/],
	["half a byte", check("type: udp, send: 0x123"), /"0x123" is not 0x and pairs of hexadecimal digits/],
	["an exec check without a command", check("type: exec"), /a check of type exec has no command/],
	[
		"a command without a program",
		check('type: exec, command: [""]'),
		/has no command: its first word is empty/,
	],
	["a NUL in a command", check('type: exec, command: [a, "b\\0c"]'), /"b\\u0000c" has a NUL character/],
	["a line break in a Host header", check('type: http, host: "a\\nX: y"'), /"a\\nX: y" is not a host/],
	["an empty Host header", check('type: https, host: ""'), /"" is not a host/],
	["a Host header that is only a port", check('type: https, host: ":443"'), /":443" is not a host/],
	[
		"a Host header that is not ASCII",
		check("type: http, host: bücher.example"),
		/"bücher\.example" is not a host[\s\S]*hint: write xn--bcher-kva\.example/,
	],
	[
		"a check without a port for a service of every port",
		"vips: [{ name: w, addresses: 192.0.2.1, dscp: 1, services: [{ port: any, protocol: tcp, pool: front }] }]\n" +
			"pools: { front: { reals: [], check: { interval: 1s, timeout: 1s, type: tcp } } }\n",
		/the check of pool front needs a port: VIP w uses the pool for port any\n[\s\S]*port: 80/,
	],
	["fall 0", check("type: tcp, fall: 0"), /fall has the wrong form/],
];

describe("a fault of a fleet file is reported with its place", () => {
	for (const [fault, text, message] of FAULTS) {
		it(fault, () => {
			const problems = problemsOf(text);
			assert.match(problems, message);
			assert.match(problems, /^fleet\.yaml:\d+:\d+: error\[/);
			// One fault, one message.
			assert.equal(problems.match(/error\[/g)?.length, 1, problems);
		});
	}
});

test("takes every Host header that a URL can have", () => {
	for (const host of ["www.example", "www.example:8443", "192.0.2.1:80", "[2001:db8::1]", "[::1]:80", "::1"])
		assert.equal(problemsOf(check(`type: https, host: "${host}"`)), "");
});

test("reports every fault of a file at once, in order", () => {
	const text = `${vip("echo: maybe").replace("dscp: 7", "dscp: 64")}pools: { front: { reals: [], floor: 2 } }\n`;
	const lines = problemsOf(text).split("\n");
	assert.deepEqual(
		lines.filter((line) => line.includes("error[")).map((line) => line.replace(/^.*error/, "error")),
		[
			"error[CONFIG_DSCP_RANGE]: DSCP 64 is out of range, expected 1-63",
			'error[CONFIG_BAD_VALUE]: echo cannot be "maybe", expected kernel, reply, server',
			'error[CONFIG_BAD_VALUE]: "2" is not a percentage from 0% to 100%',
		],
	);
});

const twoVips = (first: string, second: string, reals = "[{ name: a, addresses: 10.0.0.1 }]") => `vips:
  - { name: one, addresses: 192.0.2.1, dscp: 7, ${first} }
  - { name: two, addresses: 192.0.2.2, dscp: 7, ${second} }
pools:
  front: { reals: ${reals} }
  back: { reals: [{ name: b, addresses: 10.0.0.2 }] }
`;
const at = (port: string, poolName = "front") =>
	`services: [{ port: ${port}, protocol: tcp, pool: ${poolName} }]`;

describe("values that exclude each other are reported with both places", () => {
	it("one code for two VIPs on one real server", () => {
		assert.equal(
			problemsOf(twoVips(at("80"), at("any"))),
			[
				"fleet.yaml:3:46: error[MODEL_DSCP_CONFLICT]: DSCP 7 already stands for VIP one on real server 10.0.0.1",
				`3 |   - { name: two, addresses: 192.0.2.2, dscp: 7, ${at("any")} }`,
				"                                                 ^",
				"note: the other one is at fleet.yaml:2:46",
			].join("\n"),
		);
	});

	it("but not on different real servers, nor for different ports", () => {
		parse(twoVips(at("80"), at("80", "back")));
		parse(twoVips(at("80"), at("443")));
	});

	it("duplicate names, addresses and services", () => {
		const cases: readonly (readonly [text: string, message: RegExp])[] = [
			[twoVips("echo: kernel", "echo: kernel").replace("two", "one"), /two VIPs are named one/],
			[
				twoVips("echo: kernel", "echo: kernel").replace("192.0.2.2", "192.0.2.1"),
				/192\.0\.2\.1 is an address of two VIPs/,
			],
			[
				twoVips(at("80"), "echo: kernel").replace(
					"}] }",
					"}, { port: 80, protocol: [udp, tcp], pool: front }] }",
				),
				/VIP one has two services for port 80 of tcp/,
			],
			[
				twoVips(
					"echo: kernel",
					"echo: kernel",
					"[{ name: a, addresses: 10.0.0.1 }, { name: a, addresses: 10.0.0.3 }]",
				),
				/two real servers of pool front are named a/,
			],
			[
				twoVips(
					"echo: kernel",
					"echo: kernel",
					"[{ name: a, addresses: 10.0.0.1 }, { name: c, addresses: 10.0.0.1 }]",
				),
				/10\.0\.0\.1 is in pool front twice/,
			],
			[
				twoVips("echo: kernel", "echo: kernel", "[{ name: a, addresses: 192.0.2.1 }]"),
				/192\.0\.2\.1 is a VIP, and an address of real server a/,
			],
		];
		for (const [text, message] of cases) {
			const problems = problemsOf(text);
			assert.match(problems, message);
			assert.match(problems, /error\[MODEL_DUPLICATE\][\s\S]*note: the other one is at fleet\.yaml:\d+:\d+/);
		}
	});

	it("a VIP and real servers of different families", () => {
		const text = twoVips(at("80"), "echo: kernel").replace("192.0.2.1,", '"2001:db8::1",');
		assert.match(problemsOf(text), /VIP one has an IPv6 address, but no real server of pool front has one/);
	});
});

test("a fleet of 1,000 VIPs with 100 real servers each is read in linear time", () => {
	const reals = Array.from({ length: 100 }, (_, n) => `{ name: r${n}, addresses: 10.0.0.${n + 1} }`);
	const vips = (count: number) =>
		Array.from({ length: count }, (_, n) => {
			const address = `192.${n >> 8}.${n & 255}.1`;
			const port = 1 + Math.floor(n / 63);
			return `  - { name: v${n}, addresses: ${address}, dscp: ${1 + (n % 63)}, services: [{ port: ${port}, protocol: tcp, pool: p }] }\n`;
		});
	const fleet = parse(`vips:\n${vips(1000).join("")}pools: { p: { reals: [${reals.join(", ")}] } }\n`);
	assert.equal(fleet.vips.length, 1000);
});
