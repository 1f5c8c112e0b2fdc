import assert from "node:assert/strict";
import { test } from "node:test";
import { exitCodeOf } from "../../../src/cli/error-table.ts";
import { L3dsrError, renderDiagnostic } from "../../../src/errors.ts";
import { defaultAgentSettings, listenText } from "../../../src/model/agent-settings.ts";
import { type ParsedConfig, parseConfig } from "../../../src/syntax/config/parse-config.ts";
import { conflictDiagnostics } from "../../../src/syntax/config/service-conflicts.ts";

/** The output for this file: every problem, or nothing. */
function problemsOf(text: string): string {
	try {
		return conflictDiagnostics(parseConfig(text, "l3dsr.yaml").placed).map(renderDiagnostic).join("\n");
	} catch (error) {
		assert(error instanceof L3dsrError);
		assert.equal(exitCodeOf(error), 2);
		return error.diagnostics.map(renderDiagnostic).join("\n");
	}
}

function parse(text: string): ParsedConfig {
	assert.equal(problemsOf(text), "");
	return parseConfig(text, "l3dsr.yaml");
}

test("an empty file, and one with only comments, configures nothing and has the defaults", () => {
	for (const text of ["", "# nothing\n", "services:\n", "services: []\n"]) {
		assert.deepEqual(parse(text).configuration, {
			datapath: "auto",
			hook: "tc",
			openChecksums: "refuse",
			table: "raw",
			services: [],
		});
	}
});

test("every key is read", () => {
	const { configuration } = parse(`
datapath: ebpf
hook: xdp-generic
open-checksums: accept
interfaces: [eth0, ens+]
table: mangle
include: /etc/dsr.d
services:
  - vip: 192.0.2.10
    name: web
    dscp: 0x21
    protocol: tcp
    ports: 80
    real: 10.0.0.0/24
    interface: eth1
    mark: 0x10/0xf0
    set-port: 8080
    clear-dscp: true
  - vip: 192.0.2.11
    dscp: 2
    protocol: sctp
    ports: [80, 8000-8099]
  - vip: 2001:DB8:0::1
`);
	assert.deepEqual(JSON.parse(JSON.stringify(configuration)), {
		datapath: "ebpf",
		hook: "xdp-generic",
		openChecksums: "accept",
		table: "mangle",
		interfaces: [
			{ name: "eth0", wildcard: false },
			{ name: "ens", wildcard: true },
		],
		include: "/etc/dsr.d",
		services: [
			{
				name: "web",
				vip: { family: "ipv4", text: "192.0.2.10", bytes: [192, 0, 2, 10] },
				selection: {
					dscp: 33,
					mark: { value: 16, mask: 240 },
					interfaces: [{ name: "eth1", wildcard: false }],
					real: { address: { family: "ipv4", text: "10.0.0.0", bytes: [10, 0, 0, 0] }, length: 24 },
					protocols: [6],
					ports: [{ first: 80, last: 80 }],
				},
				setPort: 8080,
				clearDscp: true,
			},
			{
				name: "192.0.2.11",
				vip: { family: "ipv4", text: "192.0.2.11", bytes: [192, 0, 2, 11] },
				selection: {
					dscp: 2,
					protocols: [132],
					ports: [
						{ first: 80, last: 80 },
						{ first: 8000, last: 8099 },
					],
				},
				clearDscp: false,
			},
			{
				name: "2001:db8::1",
				vip: {
					family: "ipv6",
					text: "2001:db8::1",
					bytes: [32, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
				},
				clearDscp: false,
			},
		],
	});
});

test("ports without a protocol are those of tcp and udp, and a class name is a DSCP", () => {
	const { configuration } = parse("services: [{ vip: 192.0.2.1, dscp: af41, ports: 53 }]");
	assert.deepEqual(configuration.services[0]?.selection, {
		dscp: 34,
		protocols: [6, 17],
		ports: [{ first: 53, last: 53 }],
	});
});

test("an alias is read where it stands for a value", () => {
	const { configuration } = parse(
		"services:\n  - { vip: 192.0.2.1, dscp: &code 9 }\n  - { vip: 2001:db8::1, dscp: *code }\n",
	);
	assert.deepEqual(
		configuration.services.map(({ selection }) => selection?.dscp),
		[9, 9],
	);
});

/** Description, file, output. */
const FAULTS: readonly (readonly [string, string, string])[] = [
	[
		"a TOS byte where a DSCP belongs",
		"services:\n  - vip: 192.0.2.1\n    dscp: 64\n",
		`l3dsr.yaml:3:11: error[CONFIG_DSCP_RANGE]: DSCP 64 is out of range, expected 0-63
3 |     dscp: 64
              ^^
hint: 64 looks like a TOS byte (0x40), which is DSCP 16`,
	],
	[
		"a DSCP that may be octal",
		"services: [{ vip: 192.0.2.1, dscp: 010 }]",
		`l3dsr.yaml:1:36: error[CONFIG_BAD_VALUE]: DSCP 010 begins with a zero and is ambiguous
1 | services: [{ vip: 192.0.2.1, dscp: 010 }]
                                       ^^^
hint: write 10 (decimal) or 8 (octal)`,
	],
	[
		"one DSCP for two VIPs",
		"services:\n  - { vip: 192.0.2.1, dscp: 16 }\n  - { vip: 192.0.2.2, dscp: CS2 }\n",
		`l3dsr.yaml:3:29: error[MODEL_DSCP_CONFLICT]: DSCP 16 already selects VIP 192.0.2.1
3 |   - { vip: 192.0.2.2, dscp: CS2 }
                                ^^^
note: first used at l3dsr.yaml:2:29`,
	],
	[
		"selections that overlap",
		"services:\n  - { vip: 192.0.2.1, dscp: 1 }\n  - { vip: 192.0.2.2, mark: 4 }\n",
		`l3dsr.yaml:3:29: error[MODEL_SELECTION_CONFLICT]: a packet could belong to VIP 192.0.2.2 or to VIP 192.0.2.1: their selections overlap
3 |   - { vip: 192.0.2.2, mark: 4 }
                                ^
note: the other service is at l3dsr.yaml:2:29
hint: separate them by dscp, mark, ports, interface or real address`,
	],
	[
		"a service that selects what another one made",
		"services:\n  - { vip: 192.0.2.1, dscp: 1, clear-dscp: true }\n  - { vip: 192.0.2.2, dscp: 0 }\n",
		`l3dsr.yaml:3:29: error[MODEL_REWRITE_CHAIN]: a packet that is rewritten to 192.0.2.1 would then be rewritten to 192.0.2.2
3 |   - { vip: 192.0.2.2, dscp: 0 }
                                ^
note: the other service is at l3dsr.yaml:2:29
hint: no service may select what another one produces: its new port, or DSCP 0`,
	],
	[
		"a list where one word is expected",
		"table: [raw]\n",
		`l3dsr.yaml:1:8: error[CONFIG_BAD_VALUE]: table cannot be that, expected raw, mangle
1 | table: [raw]
           ^^^^^`,
	],
	[
		"several problems, in the order of the file",
		"datapath: epbf\nservice: []\nservices:\n  - dscp: 1\n  - vip: 192.0.2.1/32\n    dcsp: 1\n",
		`l3dsr.yaml:1:11: error[CONFIG_BAD_VALUE]: datapath cannot be "epbf", expected auto, ebpf, nft
1 | datapath: epbf
              ^^^^
hint: did you mean ebpf?
l3dsr.yaml:2:1: error[CONFIG_UNKNOWN_KEY]: the configuration has no key service
2 | service: []
    ^^^^^^^
hint: did you mean services?
l3dsr.yaml:4:5: error[CONFIG_MISSING]: vip is missing
4 |   - dscp: 1
        ^^^^^^^
l3dsr.yaml:5:10: error[CONFIG_BAD_VALUE]: "192.0.2.1/32" is not an IPv4 or IPv6 address
5 |   - vip: 192.0.2.1/32
             ^^^^^^^^^^^^
hint: write 192.0.2.1: a VIP has no prefix length
l3dsr.yaml:6:5: error[CONFIG_UNKNOWN_KEY]: a service has no key dcsp
6 |     dcsp: 1
        ^^^^
hint: did you mean dscp?`,
	],
	[
		"ports that select nothing by themselves",
		"services:\n  - vip: 192.0.2.1\n    ports: 80\n",
		`l3dsr.yaml:3:5: error[CONFIG_MISSING]: ports has no effect without dscp, mark, interface or real: an L2DSR service is not rewritten
3 |     ports: 80
        ^^^^^`,
	],
	[
		"ports of a protocol that has none",
		"services: [{ vip: 192.0.2.1, dscp: 1, protocol: icmp, ports: 80 }]",
		`l3dsr.yaml:1:49: error[CONFIG_BAD_VALUE]: IP protocol 1 has no ports
1 | services: [{ vip: 192.0.2.1, dscp: 1, protocol: icmp, ports: 80 }]
                                                    ^^^^
hint: remove ports, or make it a separate service`,
	],
	[
		"text that is not YAML",
		"services:\n  - vip: [",
		`l3dsr.yaml:2:11: error[CONFIG_SYNTAX]: flow sequence in block collection must be sufficiently indented and end with a ]
2 |   - vip: [
              ^`,
	],
	[
		"a key that stands twice",
		"table: raw\ntable: mangle\n",
		`l3dsr.yaml:2:1: error[CONFIG_SYNTAX]: map keys must be unique
2 | table: mangle
    ^`,
	],
	[
		"a tab as indentation",
		"services:\n\t- vip: 192.0.2.1\n",
		`l3dsr.yaml:2:1: error[CONFIG_SYNTAX]: tabs are not allowed as indentation
2 | \t- vip: 192.0.2.1
    ^
hint: indent with blanks`,
	],
	[
		"a list where a mapping belongs",
		"- 192.0.2.1\n",
		`l3dsr.yaml:1:1: error[CONFIG_BAD_VALUE]: the configuration has the wrong form, expected a mapping of keys
1 | - 192.0.2.1
    ^^^^^^^^^^^`,
	],
	[
		"a boolean in words",
		"services: [{ vip: 192.0.2.1, dscp: 1, clear-dscp: yes }]",
		`l3dsr.yaml:1:51: error[CONFIG_BAD_VALUE]: clear-dscp has the wrong form, expected true or false
1 | services: [{ vip: 192.0.2.1, dscp: 1, clear-dscp: yes }]
                                                      ^^^`,
	],
];
for (const [what, text, said] of FAULTS) {
	test(`reports place and reason: ${what}`, () => assert.equal(problemsOf(text), said));
}

const REFUSED: readonly (readonly [string, string])[] = [
	["vip: 010.0.0.1", '"010.0.0.1" is not an IPv4 or IPv6 address'],
	["vip: 127.0.0.1", "127.0.0.1 is a loopback address, which cannot be a VIP"],
	["vip: 0.1.2.3", "0.1.2.3 is an address of this network (0.0.0.0/8), which cannot be a VIP"],
	[
		'vip: "::ffff:192.0.2.1"',
		"::ffff:192.0.2.1 is an IPv4 address in IPv6 form (::ffff:0:0/96), which cannot be a VIP",
	],
	["vip: ff02::1", "ff02::1 is a multicast address, which cannot be a VIP"],
	["vip: fe80::1", "fe80::1 is a link-local address, which cannot be a VIP"],
	["vip: 0.0.0.0", "0.0.0.0 is the unspecified address, which cannot be a VIP"],
	["vip: 1.5", '"1.5" is not an IPv4 or IPv6 address'],
	["vip: web.example.net", '"web.example.net" is not an IPv4 or IPv6 address'],
	["vip: 192.0.2.1, dscp: -1", "DSCP -1 is out of range, expected 0-63"],
	["vip: 192.0.2.1, dscp: 256", "DSCP 256 is out of range, expected 0-63"],
	["vip: 192.0.2.1, dscp: 1.5", "DSCP 1.5 is out of range, expected 0-63"],
	["vip: 192.0.2.1, dscp: EFF", '"EFF" is not a DSCP, expected a number 0-63 or a class such as AF41'],
	["vip: 192.0.2.1, mark: 0x11/0xf0", "mark 0x11/0xf0 has bits outside its mask, so no packet can match"],
	["vip: 192.0.2.1, mark: x", '"x" is not a packet mark, expected VALUE or VALUE/MASK of 32 bits each'],
	["vip: 192.0.2.1, real: 2001:db8::1", "2001:db8::1 is IPv6, but the service's VIP is IPv4"],
	["vip: 192.0.2.1, real: 10.0.0.0/33", '"10.0.0.0/33" has no valid prefix length, expected 0-32'],
	[
		"vip: 192.0.2.1, dscp: 1, ports: 0",
		'"0" is not a port or a range of ports, expected 1-65535 or LOW-HIGH',
	],
	["vip: 192.0.2.1, dscp: 1, ports: [1, 9-3]", "range 9-3 is empty"],
	["vip: 192.0.2.1, dscp: 1, set-port: 70000", '"70000" is not a port, expected 1-65535'],
	[
		"vip: 192.0.2.1, dscp: 1, protocol: tpc",
		'"tpc" is not an IP protocol, expected icmp, tcp, udp, dccp, icmpv6, ospf, sctp, udplite or 1-255',
	],
	[
		"vip: 192.0.2.1, interface: a-name-that-is-too-long+",
		'"a-name-that-is-too-long+" is not an interface name, expected 1-15 bytes (of an alternative name up to 127) without blanks, "/" and ":"',
	],
	[
		"vip: 192.0.2.1, name: two words",
		'"two words" is not a service name, expected up to 63 letters, digits, ".", "_", ":" or "-"',
	],
	[
		"vip: 192.0.2.1, dscp: 1, ports: [80, { a: 1 }]",
		"ports has the wrong form, expected a value or a list of values",
	],
	["vip: 192.0.2.1, dscp: [1, 2]", "dscp has the wrong form"],
];
for (const [service, message] of REFUSED) {
	test(`refuses the service "${service}"`, () => {
		assert.throws(
			() => parseConfig(`services: [{ ${service} }]`, "l3dsr.yaml"),
			(error: unknown) => {
				assert(error instanceof L3dsrError);
				assert(
					error.diagnostics.some((diagnostic) => diagnostic.message === message),
					error.message,
				);
				return true;
			},
		);
	});
}

test("the schema for editors is generated from the one that is checked", async () => {
	const { jsonSchema } = await import("../../../src/syntax/config/json-schema.ts");
	const schema = JSON.parse(JSON.stringify(jsonSchema()));
	assert.equal(schema.additionalProperties, false);
	assert.deepEqual(Object.keys(schema.properties), [
		"datapath",
		"hook",
		"open-checksums",
		"interfaces",
		"table",
		"include",
		"fleet",
		"director",
		"agent",
		"services",
	]);
});

test("agent: sets where HTTP is served, and to whom", () => {
	const { agent } = parse(`services: []
agent:
  listen: ["[2001:db8::5]:9470", 10.0.0.5:443, /run/l3dsr/agent.sock]
  hosts: Real1.example.net
  tls: { certificate: /etc/l3dsr/tls.crt, key: /etc/l3dsr/tls.key }
  token-file: /etc/l3dsr/token
  user: l3dsr
`).configuration;
	assert.deepEqual(agent?.listen.map(listenText), [
		"[2001:db8::5]:9470",
		"10.0.0.5:443",
		"/run/l3dsr/agent.sock",
	]);
	assert.deepEqual(
		{ ...agent, listen: [] },
		{
			listen: [],
			hosts: ["real1.example.net"],
			tls: { certificate: "/etc/l3dsr/tls.crt", key: "/etc/l3dsr/tls.key" },
			tokenFile: "/etc/l3dsr/token",
			user: "l3dsr",
		},
	);
	assert.deepEqual(parse("services: []\nagent: { listen: [] }").configuration.agent?.listen, []);
	assert.deepEqual(parse("services: []\nagent: {}").configuration.agent, defaultAgentSettings());
	assert.equal(parse("services: []").configuration.agent, undefined);
});

test("an impossible address to listen on is refused with a correct form", () => {
	for (const [text, hint] of [
		["127.0.0.1", "write 127.0.0.1:9470"],
		["::1", "write [::1]:9470"],
		["[127.0.0.1]:80", undefined],
		["localhost:80", undefined],
		["127.0.0.1:70000", undefined],
		["*:80", undefined],
		[`/${"x".repeat(200)}`, undefined],
	] as const) {
		assert.throws(
			() => parseConfig(`services: []\nagent: { listen: "${text}" }`, "l3dsr.yaml"),
			(error: L3dsrError) => {
				assert.equal(error.code, "CONFIG_BAD_VALUE");
				assert.equal(error.diagnostics[0].hint, hint);
				return true;
			},
			text,
		);
	}
	assert.throws(
		() => parseConfig("services: []\nagent: { listens: [] }", "l3dsr.yaml"),
		/agent has no key listens/,
	);
	assert.throws(
		() => parseConfig("services: []\nagent: { tls: { key: /x } }", "l3dsr.yaml"),
		/certificate is missing/,
	);
	assert.throws(() => parseConfig('services: []\nagent: { hosts: "a b" }', "l3dsr.yaml"), /not a host name/);
});

test("set-port is refused if an answer does not show which port its client has sent to", () => {
	const service = (lines: string) => `services:\n  - vip: 192.0.2.10\n    dscp: 7\n${lines}`;
	assert.equal(problemsOf(service("    ports: 80\n    set-port: 8080\n")), "");
	for (const lines of [
		"    set-port: 8080\n",
		"    ports: [80, 443]\n    set-port: 8080\n",
		"    ports: 80-81\n    set-port: 8080\n",
	]) {
		assert.match(problemsOf(service(lines)), /set-port needs exactly one port in ports/);
	}
	const sctp = service("    protocol: [tcp, sctp]\n    ports: 80\n    set-port: 8080\n");
	assert.match(problemsOf(sctp), /set-port is for TCP and UDP: the port of IP protocol 132/);
});

test("two services of a VIP whose answers leave from one port are refused if one sets that port", () => {
	const services = (second: string) => `
services:
  - {name: web, vip: 192.0.2.10, dscp: 7, protocol: tcp, ports: 80, set-port: 8080}
  - {name: other, dscp: 8, ${second}}
`;
	assert.match(
		problemsOf(services("vip: 192.0.2.10, protocol: tcp, ports: 443, set-port: 8080")),
		/error\[MODEL_ANSWER_CONFLICT\]: answers from port 8080 of VIP 192.0.2.10 could belong to two services/,
	);
	assert.match(
		problemsOf(services("vip: 192.0.2.10, protocol: tcp, ports: 8000-9000")),
		/MODEL_ANSWER_CONFLICT/,
	);
	for (const other of [
		"vip: 192.0.2.10, protocol: udp, ports: 443, set-port: 8080",
		"vip: 192.0.2.11, protocol: tcp, ports: 443, set-port: 8080",
		"vip: 192.0.2.10, protocol: tcp, ports: 80, set-port: 8080",
		"vip: 192.0.2.10, protocol: tcp, ports: 443, set-port: 8443",
	]) {
		assert.equal(problemsOf(services(other)), "", other);
	}
});

test("a list of an IPv4 and an IPv6 VIP is a service for each, with one name and one selection", () => {
	const { placed, configuration } = parse(
		"services:\n  - { vip: [192.0.2.10, 2001:db8::10], name: web, dscp: LE, ports: [80, 443], protocol: tcp }\n",
	);
	const said = configuration.services.map(({ name, vip, selection }) => [name, vip.text, selection?.dscp]);
	assert.deepEqual(said, [
		["web", "192.0.2.10", 1],
		["web", "2001:db8::10", 1],
	]);
	assert.deepEqual(placed[0]?.place, placed[1]?.place);
	const unnamed = parse("services: [{ vip: [2001:db8::10, 192.0.2.10], dscp: 7 }]\n").configuration.services;
	assert.deepEqual(
		unnamed.map(({ name }) => name),
		["2001:db8::10", "192.0.2.10"],
	);
	assert.match(
		problemsOf("services: [{ vip: [192.0.2.1, 192.0.2.2], dscp: 7 }]\n"),
		/a list of VIPs holds one IPv4 and one IPv6 address\n.*\n.*\nhint: write a service for each VIP/,
	);
	assert.match(
		problemsOf("services: [{ vip: [192.0.2.1, 2001:db8::1], real: 10.0.0.2, dscp: 7 }]\n"),
		/real is an address of one family, but this service has VIPs of both/,
	);
});

test("another tool's notation gets a hint with the notation here", () => {
	const hint = (line: string): string => {
		return /^hint: (.*)$/m.exec(problemsOf(`services:\n  - vip: 192.0.2.1\n    ${line}\n`))?.[1] ?? "none";
	};
	assert.equal(hint("tos: 28"), "a TOS byte is four times the DSCP: write dscp: 7");
	assert.equal(hint("tos: 0x1c"), "a TOS byte is four times the DSCP: write dscp: 7");
	assert.equal(hint("tos: [1]"), "a TOS byte is four times the DSCP: write dscp: 0");
	assert.equal(hint("ip: 192.0.2.2"), "write vip: 192.0.2.2");
	assert.equal(hint("ports: 80-90,443"), "write a list: [80-90, 443]");
	assert.equal(hint("protocol: tcp/udp"), "write a list: [tcp, udp]");
	assert.match(
		problemsOf("services: [{ vip: '192.0.2.1, 2001:db8::1' }]\n"),
		/hint: write a list: \[192\.0\.2\.1, 2001:db8::1\]/,
	);
});

test("only a list of services in the file configures services", () => {
	for (const [text, says] of [
		["", false],
		["table: mangle\n", false],
		["services:\n", false],
		["services: []\n", true],
		["services: [{ vip: 192.0.2.1 }]\n", true],
	] as const) {
		assert.equal(parse(text).saysServices, says, text);
	}
});
