/**
 * Invalid files of a director: each is refused, with every fault at its place and a remedy. The rows contain
 * the file, or the part of it that the kind names, and the output without excerpts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exitCodeOf } from "../../src/cli/error-table.ts";
import { L3dsrError, renderDiagnostic } from "../../src/errors.ts";
import { type LoadedConfiguration, loadConfiguration } from "../../src/sources/configuration.ts";
import { SYSTEM_FILES } from "../../src/sources/source-files.ts";

const FLEET = `vips:
  - { name: web, addresses: 192.0.2.10, dscp: 7, services: [{ port: 80, protocol: tcp, pool: front }] }
pools:
  front: { reals: [{ name: a1, addresses: 10.1.0.1 }, { name: a2, addresses: 10.1.0.2 }] }
`;
const CONFIG = "fleet: fleet.yaml\ndirector: { interfaces: eth0 }\n";

/** Maps the first entry of a row to both files. */
const KINDS = {
	"l3dsr.yaml": (body) => [body, FLEET],
	director: (body) => [`fleet: fleet.yaml\ndirector: ${body}\n`, FLEET],
	"fleet.yaml": (body) => [CONFIG, body],
	VIP: (body) => [CONFIG, FLEET.replace(/ {2}- .*\n/, `  - ${body}\n`)],
	service: (body) => [CONFIG, FLEET.replace(/services: .*\] \}\n/, `services: [${body}] }\n`)],
	pool: (body) => [CONFIG, FLEET.replace(/front: \{ .*\n/, `front: ${body}\n`)],
	real: (body) => [CONFIG, FLEET.replace(/reals: .*\n/, `reals: [${body}] }\n`)],
	check: (body) => [CONFIG, FLEET.replace(/reals: .*\n/, `reals: [], check: ${body} }\n`)],
} as const satisfies Record<string, (body: string) => readonly [config: string, fleet: string]>;

async function load(config: string, fleet: string): Promise<LoadedConfiguration> {
	const files = new Map([
		["l3dsr.yaml", config],
		["fleet.yaml", fleet],
	]);
	const readFile = (path: string) => {
		const text = files.get(path.split("/").at(-1) ?? "");
		if (text === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
		return text;
	};
	const host = { ...SYSTEM_FILES, ownAddresses: () => [], readFile };
	return await loadConfiguration(host, "l3dsr.yaml", {});
}

/** The lines without excerpts, and without the test's folder. */
async function refusalOf(config: string, fleet: string): Promise<string[]> {
	try {
		await load(config, fleet);
	} catch (error) {
		assert(error instanceof L3dsrError);
		assert.equal(exitCodeOf(error), 2);
		return error.diagnostics
			.flatMap((one) => renderDiagnostic(one).replaceAll(`${process.cwd()}/`, "").split("\n"))
			.filter((line) => /^(hint|note|\S+ error)/.test(line));
	}
	return [];
}

const CASES: {
	readonly [K in keyof typeof KINDS]: readonly (readonly [body: string, ...refusal: string[]])[];
} = {
	"l3dsr.yaml": [
		[
			"director: { interfaces: eth0 }\n",
			"l3dsr.yaml:1:1: error[CONFIG_MISSING]: director needs fleet: the VIPs to direct are in the fleet's table",
			"hint: add fleet: /etc/l3dsr/fleet.yaml",
		],
		[
			"fleet: fleet.yaml\ndirector: { interfaces: eth0 }\ndirector: { interfaces: eth1 }\n",
			"l3dsr.yaml:3:1: error[CONFIG_SYNTAX]: map keys must be unique",
		],
		[
			"fleet: nosuch.yaml\ndirector: { interfaces: eth0 }\n",
			"l3dsr.yaml:1:8: error[CONFIG_READ]: read fleet nosuch.yaml: ENOENT (no such file or directory)",
		],
		[
			"fleet: [fleet.yaml]\ndirector: { interfaces: eth0 }\n",
			"l3dsr.yaml:1:8: error[CONFIG_BAD_VALUE]: fleet has the wrong form, expected a text",
		],
		[
			"fleet: ''\ndirector: { interfaces: eth0 }\n",
			"l3dsr.yaml:1:8: error[CONFIG_BAD_VALUE]: fleet is empty",
		],
		[
			"fleet: fleet.yaml\ndirektor: { interfaces: eth0 }\n",
			"l3dsr.yaml:2:1: error[CONFIG_UNKNOWN_KEY]: the configuration has no key direktor",
			"hint: did you mean director?",
		],
		[
			"fleet: fleet.yaml\ndirector:\n  interfaces: eth+\n  hook: tc\n  vlan: 5000\n  forward: fast\n  bleech: true\n",
			"l3dsr.yaml:3:15: error[CONFIG_BAD_VALUE]: eth+ stands for several interfaces, but a director needs full interface names",
			"hint: list each interface: [eth0, eth1]",
			'l3dsr.yaml:5:9: error[CONFIG_BAD_VALUE]: "5000" is not a VLAN, expected 1-4094',
			'l3dsr.yaml:6:12: error[CONFIG_BAD_VALUE]: forward cannot be "fast", expected resolved, kernel',
			"l3dsr.yaml:7:3: error[CONFIG_UNKNOWN_KEY]: director has no key bleech",
			"hint: did you mean bleach?",
		],
	],
	director: [
		["", "l3dsr.yaml:2:11: error[CONFIG_BAD_VALUE]: director is empty, expected a mapping of keys"],
		[
			"true",
			"l3dsr.yaml:2:11: error[CONFIG_BAD_VALUE]: director has the wrong form, expected a mapping of keys",
		],
		[
			"eth0",
			"l3dsr.yaml:2:11: error[CONFIG_BAD_VALUE]: director has the wrong form, expected a mapping of keys",
		],
		["[]", "l3dsr.yaml:2:11: error[CONFIG_BAD_VALUE]: director is empty, expected a mapping of keys"],
		["{}", "l3dsr.yaml:2:11: error[CONFIG_MISSING]: interfaces is missing"],
		[
			"{ interfaces: [] }",
			"l3dsr.yaml:2:25: error[CONFIG_BAD_VALUE]: interfaces is empty, expected a value or a list of values",
		],
		[
			"{ interfaces: eth+ }",
			"l3dsr.yaml:2:25: error[CONFIG_BAD_VALUE]: eth+ stands for several interfaces, but a director needs full interface names",
			"hint: list each interface: [eth0, eth1]",
		],
		[
			"{ interfaces: lo }",
			"l3dsr.yaml:2:25: error[CONFIG_BAD_VALUE]: lo is not an interface on which packets of clients arrive",
		],
		["{ interfaces: [eth0, eth0] }", "l3dsr.yaml:2:32: error[CONFIG_BAD_VALUE]: eth0 is listed twice"],
		[
			"{ interfaces: { eth0: true } }",
			"l3dsr.yaml:2:25: error[CONFIG_BAD_VALUE]: interfaces has the wrong form, expected a value or a list of values",
		],
		[
			"{ interfaces: eth 0 }",
			'l3dsr.yaml:2:25: error[CONFIG_BAD_VALUE]: "eth 0" is not an interface name, expected 1-15 bytes (of an alternative name up to 127) without blanks, "/" and ":"',
		],
		[
			"{ interfaces: [eth0, [eth1]] }",
			"l3dsr.yaml:2:25: error[CONFIG_BAD_VALUE]: interfaces has the wrong form, expected a value or a list of values",
		],
		[
			"{ interface: eth0 }",
			"l3dsr.yaml:2:11: error[CONFIG_MISSING]: interfaces is missing",
			"l3dsr.yaml:2:13: error[CONFIG_UNKNOWN_KEY]: director has no key interface",
			"hint: did you mean interfaces?",
		],
		[
			"{ interfaces: eth0, hook: XDP }",
			'l3dsr.yaml:2:37: error[CONFIG_BAD_VALUE]: hook cannot be "XDP", expected xdp, xdp-generic, tc',
			"hint: did you mean xdp?",
		],
		[
			"{ interfaces: eth0, hook: tcx }",
			'l3dsr.yaml:2:37: error[CONFIG_BAD_VALUE]: hook cannot be "tcx", expected xdp, xdp-generic, tc',
			"hint: did you mean tc?",
		],
		[
			"{ interfaces: eth0, hook: *x }",
			"l3dsr.yaml:2:37: error[CONFIG_SYNTAX]: alias *x has no anchor &x before it",
		],
		[
			"{ interfaces: eth0, forward: route }",
			'l3dsr.yaml:2:40: error[CONFIG_BAD_VALUE]: forward cannot be "route", expected resolved, kernel',
		],
		[
			"{ interfaces: eth0, hook: tc, forward: resolved }",
			"l3dsr.yaml:2:50: error[CONFIG_BAD_VALUE]: forward: resolved cannot be combined with hook: tc: at tc the kernel routes rewritten packets",
			"hint: use forward: kernel, or hook: xdp",
		],
		[
			"{ interfaces: eth0, hook: tc, vlan: 5 }",
			"l3dsr.yaml:2:47: error[CONFIG_BAD_VALUE]: vlan cannot be combined with hook: tc: the kernel removes VLAN tags before tc sees a frame",
			"hint: name the VLAN device (eth0.100) in interfaces, without vlan",
		],
		[
			"{ interfaces: eth0, vlan: 0 }",
			'l3dsr.yaml:2:37: error[CONFIG_BAD_VALUE]: "0" is not a VLAN, expected 1-4094',
		],
		[
			"{ interfaces: eth0, vlan: 4095 }",
			'l3dsr.yaml:2:37: error[CONFIG_BAD_VALUE]: "4095" is not a VLAN, expected 1-4094',
		],
		[
			"{ interfaces: eth0, vlan: [1, 2] }",
			"l3dsr.yaml:2:37: error[CONFIG_BAD_VALUE]: vlan has the wrong form, expected a number",
		],
		[
			"{ interfaces: eth0, vlan: eth0.5 }",
			'l3dsr.yaml:2:37: error[CONFIG_BAD_VALUE]: "eth0.5" is not a VLAN, expected 1-4094',
		],
		[
			"{ interfaces: eth0, flows: all }",
			'l3dsr.yaml:2:38: error[CONFIG_BAD_VALUE]: flows cannot be "all", expected transition, always, none',
		],
		[
			"{ interfaces: eth0, bleach: yes }",
			"l3dsr.yaml:2:39: error[CONFIG_BAD_VALUE]: bleach has the wrong form, expected true or false",
		],
		[
			"{ interfaces: eth0, open-checksums: true }",
			'l3dsr.yaml:2:47: error[CONFIG_BAD_VALUE]: open-checksums cannot be "true", expected refuse, accept',
		],
		["{ interfaces: eth0, state: '' }", "l3dsr.yaml:2:38: error[CONFIG_BAD_VALUE]: state is empty"],
		[
			"{ interfaces: eth0, pools: {} }",
			"l3dsr.yaml:2:31: error[CONFIG_UNKNOWN_KEY]: director has no key pools",
			"hint: keys here are interfaces, hook, forward, flows, vlan, bleach, open-checksums, state",
		],
	],
	"fleet.yaml": [
		[
			"",
			"fleet.yaml:1:1: error[CONFIG_MISSING]: the fleet is empty",
			"hint: write `vips: []` for a fleet without VIPs",
		],
		[
			"vips:\n",
			"fleet.yaml:1:6: error[CONFIG_BAD_VALUE]: vips is empty, expected a list (each entry begins with -, or [a, b])",
		],
		[
			"vips: {}\n",
			"fleet.yaml:1:7: error[CONFIG_BAD_VALUE]: vips is empty, expected a list (each entry begins with -, or [a, b])",
		],
		["{", "fleet.yaml:1:2: error[CONFIG_SYNTAX]: flow map must end with a }"],
		["pools: {}\n", "fleet.yaml:1:1: error[CONFIG_MISSING]: vips is missing"],
		[
			"vips: []\nreals: []\n",
			"fleet.yaml:2:1: error[CONFIG_UNKNOWN_KEY]: the fleet has no key reals",
			"hint: keys here are vips, pools",
		],
		[
			"vips: []\npools: [front]\n",
			"fleet.yaml:2:8: error[CONFIG_BAD_VALUE]: pools has the wrong form, expected a mapping of keys",
		],
		[
			"vips: []\npools: { front: { reals: [], reals: [] } }\n",
			"fleet.yaml:2:30: error[CONFIG_SYNTAX]: map keys must be unique",
		],
		[
			"vips: []\npools: { fr ont: { reals: [] } }\n",
			'fleet.yaml:2:10: error[CONFIG_BAD_VALUE]: "fr ont" is not a valid name, expected up to 63 letters, digits, ".", "_", ":" or "-"',
		],
		[
			"vips: []\npools: { front: [] }\n",
			"fleet.yaml:2:17: error[CONFIG_BAD_VALUE]: front is empty, expected a mapping of keys",
		],
	],
	VIP: [
		[
			"web",
			"fleet.yaml:2:5: error[CONFIG_BAD_VALUE]: an entry of vips has the wrong form, expected a mapping of keys",
		],
		["{ addresses: 192.0.2.10, dscp: 7 }", "fleet.yaml:2:5: error[CONFIG_MISSING]: name is missing"],
		["{ name: web, dscp: 7 }", "fleet.yaml:2:5: error[CONFIG_MISSING]: addresses is missing"],
		["{ name: web, addresses: 192.0.2.10 }", "fleet.yaml:2:5: error[CONFIG_MISSING]: dscp is missing"],
		[
			"{ name: web, addresses: 192.0.2.10/24, dscp: 7 }",
			'fleet.yaml:2:29: error[CONFIG_BAD_VALUE]: "192.0.2.10/24" is not an IPv4 or IPv6 address',
			"hint: write 192.0.2.10: a VIP has no prefix length",
		],
		[
			"{ name: web, addresses: 127.0.0.1, dscp: 7 }",
			"fleet.yaml:2:29: error[CONFIG_BAD_VALUE]: 127.0.0.1 is a loopback address, which cannot be a VIP",
		],
		[
			"{ name: web, addresses: www.example.net, dscp: 7 }",
			'fleet.yaml:2:29: error[CONFIG_BAD_VALUE]: "www.example.net" is not an IPv4 or IPv6 address',
		],
		[
			"{ name: web, addresses: 'fe80::1', dscp: 7 }",
			"fleet.yaml:2:29: error[CONFIG_BAD_VALUE]: fe80::1 is a link-local address, which cannot be a VIP",
		],
		[
			"{ name: web, addresses: '::ffff:192.0.2.1', dscp: 7 }",
			"fleet.yaml:2:29: error[CONFIG_BAD_VALUE]: ::ffff:192.0.2.1 is an IPv4 address in IPv6 form (::ffff:0:0/96), which cannot be a VIP",
		],
		[
			"{ name: we b, addresses: 192.0.2.10, dscp: 7 }",
			'fleet.yaml:2:13: error[CONFIG_BAD_VALUE]: "we b" is not a VIP name, expected up to 63 letters, digits, ".", "_", ":" or "-"',
		],
		[
			"{ name: web, addresses: 192.0.2.10, dscp: 0 }",
			"fleet.yaml:2:47: error[CONFIG_DSCP_RANGE]: DSCP 0 cannot stand for a VIP: unmarked packets carry it",
			"hint: choose 1-63",
		],
		[
			"{ name: web, addresses: 192.0.2.10, dscp: 64 }",
			"fleet.yaml:2:47: error[CONFIG_DSCP_RANGE]: DSCP 64 is out of range, expected 1-63",
			"hint: 64 looks like a TOS byte (0x40), which is DSCP 16",
		],
		[
			"{ name: web, addresses: 192.0.2.10, dscp: 010 }",
			"fleet.yaml:2:47: error[CONFIG_BAD_VALUE]: DSCP 010 begins with a zero and is ambiguous",
			"hint: write 10 (decimal) or 8 (octal)",
		],
		[
			"{ name: web, addresses: 192.0.2.10, dscp: { ipv6: 7 } }",
			"fleet.yaml:2:47: error[CONFIG_MISSING]: dscp has no ipv4, but the VIP has an address of that family",
		],
		[
			"{ name: web, addresses: 192.0.2.10, dscp: 7, echo: yes }",
			'fleet.yaml:2:56: error[CONFIG_BAD_VALUE]: echo cannot be "yes", expected kernel, reply, server',
		],
		[
			"{ name: a, addresses: 192.0.2.10, dscp: 7 }\n  - { name: a, addresses: 192.0.2.11, dscp: 8 }",
			"fleet.yaml:3:13: error[MODEL_DUPLICATE]: two VIPs are named a",
			"note: the other one is at fleet.yaml:2:13",
		],
		[
			"{ name: a, addresses: 192.0.2.10, dscp: 7 }\n  - { name: b, addresses: 192.0.2.10, dscp: 8 }",
			"fleet.yaml:3:27: error[MODEL_DUPLICATE]: 192.0.2.10 is an address of two VIPs",
			"note: the other one is at fleet.yaml:2:27",
		],
		[
			"{ name: a, addresses: 192.0.2.10, dscp: 7, services: [{ port: 80, protocol: tcp, pool: front }] }\n  - { name: b, addresses: 192.0.2.11, dscp: 7, services: [{ port: any, protocol: tcp, pool: front }] }",
			"fleet.yaml:3:45: error[MODEL_DSCP_CONFLICT]: DSCP 7 already stands for VIP a on real server 10.1.0.1",
			"note: the other one is at fleet.yaml:2:45",
		],
		[
			"{ name: web, addresses: 10.1.0.1, dscp: 7 }",
			"fleet.yaml:4:43: error[MODEL_DUPLICATE]: 10.1.0.1 is a VIP, and an address of real server a1",
			"note: the other one is at fleet.yaml:2:29",
		],
		[
			"{ name: web, addresses: '2001:db8::10', dscp: 7, services: [{ port: 80, protocol: tcp, pool: front }] }",
			"fleet.yaml:2:98: error[CONFIG_BAD_VALUE]: VIP web has an IPv6 address, but no real server of pool front has one",
			"hint: give the real servers IPv6 addresses, or remove the VIP's",
		],
	],
	service: [
		[
			"80",
			"fleet.yaml:2:61: error[CONFIG_BAD_VALUE]: an entry of services has the wrong form, expected a mapping of keys",
		],
		[
			"{ port: 0, protocol: tcp, pool: front }",
			'fleet.yaml:2:69: error[CONFIG_BAD_VALUE]: "0" is not a port, expected 1-65535 or any',
		],
		[
			"{ port: 80-81, protocol: tcp, pool: front }",
			'fleet.yaml:2:69: error[CONFIG_BAD_VALUE]: "80-81" is not a port, expected 1-65535 or any',
			"hint: give each port its own service, or use port: any",
		],
		[
			"{ port: 80, protocol: sctp, pool: front }",
			'fleet.yaml:2:83: error[CONFIG_BAD_VALUE]: "sctp" cannot be balanced, expected tcp or udp',
		],
		[
			"{ port: 80, protocol: tcp, pool: frnot }",
			"fleet.yaml:2:94: error[CONFIG_BAD_VALUE]: there is no pool frnot",
			"hint: did you mean front?",
		],
		["{ port: 80, protocol: tcp }", "fleet.yaml:2:61: error[CONFIG_MISSING]: pool is missing"],
		[
			"{ port: 80, protocol: tcp, pool: front }, { port: 80, protocol: [udp, tcp], pool: front }",
			"fleet.yaml:2:111: error[MODEL_DUPLICATE]: VIP web has two services for port 80 of tcp",
			"note: the other one is at fleet.yaml:2:69",
		],
		[
			"{ port: 80, protocol: tcp, pool: front, affinity: ip }",
			'fleet.yaml:2:111: error[CONFIG_BAD_VALUE]: affinity cannot be "ip", expected flow, source',
		],
		[
			"{ ports: 80, protocol: tcp, pool: front }",
			"fleet.yaml:2:61: error[CONFIG_MISSING]: port is missing",
			"fleet.yaml:2:63: error[CONFIG_UNKNOWN_KEY]: a service has no key ports",
			"hint: did you mean port?",
		],
	],
	pool: [
		["{}", "fleet.yaml:4:10: error[CONFIG_MISSING]: reals is missing"],
		[
			"{ backends: [] }",
			"fleet.yaml:4:10: error[CONFIG_MISSING]: reals is missing",
			"fleet.yaml:4:12: error[CONFIG_UNKNOWN_KEY]: a pool has no key backends",
			"hint: keys here are reals, check, drain, floor",
		],
		[
			"{ reals: [10.1.0.1] }",
			"fleet.yaml:4:20: error[CONFIG_BAD_VALUE]: an entry of reals has the wrong form, expected a mapping of keys",
		],
		[
			"{ reals: [], drain: 15 }",
			'fleet.yaml:4:30: error[CONFIG_BAD_VALUE]: "15" is not a duration, expected a number and ms, s, m or h',
			"hint: write 15s or 15ms",
		],
		["{ reals: [], drain: 13h }", "fleet.yaml:4:30: error[CONFIG_BAD_VALUE]: 13h is longer than 12h"],
		["{ reals: [], drain: 0s }", "fleet.yaml:4:30: error[CONFIG_BAD_VALUE]: 0s is shorter than 1ms"],
		[
			"{ reals: [], floor: 0.5 }",
			'fleet.yaml:4:30: error[CONFIG_BAD_VALUE]: "0.5" is not a percentage from 0% to 100%',
			"hint: write 50%",
		],
		[
			"{ reals: [], floor: 101% }",
			'fleet.yaml:4:30: error[CONFIG_BAD_VALUE]: "101%" is not a percentage from 0% to 100%',
		],
	],
	real: [
		[
			"{ name: a, addresses: 10.1.0.1/32 }",
			'fleet.yaml:4:42: error[CONFIG_BAD_VALUE]: "10.1.0.1/32" is not an IPv4 or IPv6 address',
			"hint: write 10.1.0.1: a real server is one address",
		],
		[
			"{ name: a, addresses: [10.1.0.1, 10.1.0.2] }",
			"fleet.yaml:4:53: error[CONFIG_BAD_VALUE]: real server a has two addresses of one family, 10.1.0.1 and 10.1.0.2",
			"hint: make each a separate real server",
		],
		[
			"{ name: a, addresses: 10.1.0.1 }, { name: a, addresses: 10.1.0.2 }",
			"fleet.yaml:4:62: error[MODEL_DUPLICATE]: two real servers of pool front are named a",
			"note: the other one is at fleet.yaml:4:28",
		],
		[
			"{ name: a, addresses: 10.1.0.1 }, { name: b, addresses: 10.1.0.1 }",
			"fleet.yaml:4:76: error[MODEL_DUPLICATE]: 10.1.0.1 is in pool front twice",
			"note: the other one is at fleet.yaml:4:42",
		],
		[
			"{ name: a, addresses: 10.1.0.1, weight: 1001 }",
			'fleet.yaml:4:60: error[CONFIG_BAD_VALUE]: "1001" is not a weight, expected 0-1000',
		],
		[
			"{ name: a, addresses: 10.1.0.1, weight: 1.5 }",
			'fleet.yaml:4:60: error[CONFIG_BAD_VALUE]: "1.5" is not a weight, expected 0-1000',
		],
		[
			"{ name: a, addresses: 10.1.0.1, state: down }",
			'fleet.yaml:4:59: error[CONFIG_BAD_VALUE]: state cannot be "down", expected enabled, drain, disabled',
		],
	],
	check: [
		[
			"http",
			"fleet.yaml:4:30: error[CONFIG_BAD_VALUE]: check has the wrong form, expected a mapping of keys",
		],
		[
			"{ type: ping, interval: 1s, timeout: 1s }",
			'fleet.yaml:4:38: error[CONFIG_BAD_VALUE]: type cannot be "ping", expected tcp, http, https, udp, icmp, exec',
		],
		["{ type: tcp, interval: 1s }", "fleet.yaml:4:30: error[CONFIG_MISSING]: timeout is missing"],
		[
			"{ type: tcp, interval: 1s, timeout: 2s }",
			"fleet.yaml:4:66: error[CONFIG_BAD_VALUE]: the timeout of a check is longer than its interval",
			"hint: checks of one real server must not overlap: make the interval at least as long",
		],
		[
			"{ type: tcp, path: /x, interval: 1s, timeout: 1s }",
			"fleet.yaml:4:43: error[CONFIG_BAD_VALUE]: a check of type tcp has no path",
			"hint: path belongs to http, https",
		],
		[
			"{ type: exec, interval: 1s, timeout: 1s }",
			"fleet.yaml:4:30: error[CONFIG_MISSING]: a check of type exec has no command",
		],
		[
			"{ type: http, expect: 99, interval: 1s, timeout: 1s }",
			'fleet.yaml:4:52: error[CONFIG_BAD_VALUE]: "99" is not an HTTP status code, expected 100-599',
		],
		[
			"{ type: http, path: healthz, interval: 1s, timeout: 1s }",
			'fleet.yaml:4:50: error[CONFIG_BAD_VALUE]: "healthz" is not a request path, expected / and printable ASCII without blanks',
			"hint: write /healthz",
		],
		[
			"{ type: udp, send: 0xf, interval: 1s, timeout: 1s }",
			'fleet.yaml:4:49: error[CONFIG_BAD_VALUE]: "0xf" is not 0x and pairs of hexadecimal digits',
		],
		[
			"{ type: tcp, fall: 0, interval: 1s, timeout: 1s }",
			"fleet.yaml:4:49: error[CONFIG_BAD_VALUE]: fall has the wrong form, expected at least 1",
		],
	],
};

test("the valid parts of the hostile files are accepted", async () => {
	const { configuration, fleet } = await load(CONFIG, FLEET);
	assert.deepEqual(configuration.director?.settings.interfaces, ["eth0"]);
	assert.equal(fleet?.fleet.pools[0]?.reals.length, 2);
});

for (const [kind, cases] of Object.entries(CASES)) {
	for (const [body, ...refusal] of cases) {
		test(`refuses ${kind}: ${JSON.stringify(body)}`, async () => {
			const [config, fleet] = KINDS[kind as keyof typeof KINDS](body); // the entries of CASES have its keys
			assert.deepEqual(await refusalOf(config, fleet), refusal);
		});
	}
}

test("refuses more than the tables of a director hold", async () => {
	const reals = (count: number) =>
		Array.from({ length: count }, (_, n) => `{ name: r${n}, addresses: 10.1.${n >> 8}.${n & 255} }`).join(
			", ",
		);
	const vips = (count: number) =>
		Array.from(
			{ length: count },
			(_, n) =>
				`{ name: v${n}, addresses: 192.0.${n >> 8}.${n & 255}, dscp: ${1 + (n % 63)}, services: [{ port: ${1 + n}, protocol: tcp, pool: front }] }`,
		).join(", ");
	const fleet = (count: number, size: number) =>
		`vips: [${vips(count)}]\npools: { front: { reals: [${reals(size)}] } }\n`;
	const [pool] = await refusalOf(CONFIG, fleet(0, 4097));
	assert.match(pool ?? "", /pool front has 4097 real servers, the limit is 4096$/);
	const [services] = await refusalOf(CONFIG, fleet(2049, 1));
	assert.match(services ?? "", /the fleet has 2049 services \(.*\), and a director holds at most 2048$/);
	const [entries] = await refusalOf(CONFIG, fleet(500, 401));
	assert.match(entries ?? "", /the fleet has 200500 real servers, .*, and a director holds at most 200000$/);
});
