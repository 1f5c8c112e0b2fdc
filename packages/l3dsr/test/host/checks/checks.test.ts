import assert from "node:assert/strict";
import { test } from "node:test";
import { dscp, parseAddress, portOf } from "@l3dsr/packet";
import type { InterfaceAddress } from "../../../src/host/addresses.ts";
import { runChecks } from "../../../src/host/checks/all.ts";
import type { CheckInput } from "../../../src/host/checks/check.ts";
import { questionsOf } from "../../../src/host/checks/questions.ts";
import { decodeSockets, type HostFacts, type InterfaceFacts } from "../../../src/host/facts.ts";
import type { PathFacts } from "../../../src/host/route-facts.ts";
import { DEFAULT_CONFIGURATION } from "../../../src/model/configuration.ts";
import type { Service } from "../../../src/model/service.ts";
import { guardFor } from "../../../src/model/vip-guard.ts";

function address(text: string) {
	const parsed = parseAddress(text);
	assert(parsed !== undefined);
	return parsed;
}

function held(prefix: string, scope = "global"): InterfaceAddress {
	const [text = "", length] = prefix.split("/");
	return { address: address(text), prefixLength: Number(length), scope };
}

const LO: InterfaceFacts = {
	name: "lo",
	alternativeNames: [],
	up: true,
	mtu: 65536,
	rpFilter: 0,
	arpIgnore: 0,
	addresses: [held("127.0.0.1/8", "host"), held("192.0.2.10/32")],
};
const ETH0: InterfaceFacts = {
	name: "eth0",
	alternativeNames: [],
	up: true,
	mtu: 1500,
	rpFilter: 0,
	arpIgnore: 0,
	driver: "mlx5_core",
	addresses: [held("10.0.0.2/24")],
};
const ETH7 = { name: "eth7", wildcard: false };
const WEB: Service = {
	name: "web",
	vip: address("192.0.2.10"),
	selection: { dscp: dscp(7) },
	clearDscp: false,
};
/**
 * A client of the Internet, the interface by which answers to it leave, and whether packets from it on eth0
 * are accepted.
 */
function path(wayBack: string, taken: boolean, ...others: readonly string[]): PathFacts {
	return {
		vips: [WEB.vip],
		client: {
			address: address("203.0.113.7"),
			prefix: { address: address("0.0.0.0"), length: 0 },
			reach: "internet",
		},
		wayBack: wayBack === "" ? [] : [wayBack],
		arrivals: [{ interface: "eth0", taken }, ...others.map((name) => ({ interface: name, taken: true }))],
	};
}

/** The same routes except for these paths. */
function routed(...paths: readonly PathFacts[]): Pick<HostFacts, "routes"> {
	return { routes: { ...FACTS.routes, paths } };
}

const FACTS: HostFacts = {
	interfaces: [LO, ETH0],
	routes: {
		delivered: ["192.0.2.10", "192.0.2.11", "10.0.0.100", "2001:db8::10", "2001:db8::1"].map(address),
		paths: [path("eth0", true)],
		unknown: [],
		byMark: false,
	},
	reversePathDrops: 0,
	legacyTables: [],
	modules: new Map([["nf_tables", 1]]),
	listeners: [{ protocol: "tcp", address: address("0.0.0.0"), port: 80 }],
	dscpWriters: [],
	reversePathFilters: [],
	trackers: [],
	filters: [],
	redirects: [],
	moduleRules: [],
};
const FIT: CheckInput = {
	configuration: { ...DEFAULT_CONFIGURATION, services: [WEB] },
	stopped: [],
	drift: [],
	started: true,
	tracked: [],
	inNetfilter: new Set(["ipv4"]),
	facts: FACTS,
	guard: guardFor([WEB.vip], []),
	ruled: new Set(["web (192.0.2.10)"]),
	served: undefined,
};

function host(facts: Partial<HostFacts>): Partial<CheckInput> {
	return { facts: { ...FACTS, ...facts } };
}

function services(...list: Service[]): Partial<CheckInput> {
	return { configuration: { ...FIT.configuration, services: list } };
}

function configured(more: Partial<CheckInput["configuration"]>): Partial<CheckInput> {
	return { configuration: { ...FIT.configuration, ...more } };
}

function selecting(code: number): Service {
	return { ...WEB, selection: { dscp: dscp(code) } };
}

const ON_SEGMENT: Service = { ...WEB, vip: address("10.0.0.100") };
const LO_ON_SEGMENT = { ...LO, addresses: [...LO.addresses, held("10.0.0.100/32")] };
const WRITER = { place: "table ip mangle, chain PREROUTING", hook: "prerouting", priority: -150 };

/** The facts, and the finding of check: severity, check, and words of the message. */
const WEB6: Service = { ...WEB, vip: address("2001:db8::10") };

const CASES: readonly (readonly [string, Partial<CheckInput>, string | undefined])[] = [
	["all is well", {}, undefined],
	[
		"the VIP is not on lo while its rule runs",
		host({ interfaces: [{ ...LO, addresses: [] }, ETH0], routes: { ...FACTS.routes, delivered: [] } }),
		"error vip-on-loopback web (192.0.2.10) is not on lo: packets rewritten to it are forwarded or dropped",
	],
	[
		"the VIP is not on lo, and up has not run",
		{
			...host({ interfaces: [{ ...LO, addresses: [] }, ETH0], routes: { ...FACTS.routes, delivered: [] } }),
			ruled: new Set(),
		},
		"note vip-on-loopback web (192.0.2.10) is not on lo yet",
	],
	[
		"the VIP is in a connected subnet, and the host answers ARP for it",
		{ ...host({ interfaces: [LO_ON_SEGMENT, ETH0] }), ...services(ON_SEGMENT) },
		"error arp web (10.0.0.100) is in the subnet of eth0, and this host answers ARP for it: two hosts claim the address",
	],
	[
		"the same, and the guard keeps it silent",
		{
			...host({ interfaces: [LO_ON_SEGMENT, ETH0] }),
			...services(ON_SEGMENT),
			guard: guardFor([ON_SEGMENT.vip], []),
		},
		undefined,
	],
	[
		"another interface also has the VIP",
		{
			...host({ interfaces: [LO, { ...ETH0, addresses: [...ETH0.addresses, held("192.0.2.10/24")] }] }),
			guard: undefined,
		},
		"warning arp web (192.0.2.10) is an address of eth0 too, and this host answers ARP for it there",
	],
	[
		"strict reverse path filtering on another interface than the default route's",
		host({
			interfaces: [LO, { ...ETH0, rpFilter: 1 }],
			...routed(path("eth1", false)),
		}),
		"error reverse-path packets from 203.0.113.7 (in 0.0.0.0/0) that arrive on eth0 are dropped by reverse path filtering (rp_filter 1): answers to them leave by eth1",
	],
	[
		"the same on an interface that directors may not use",
		host({
			interfaces: [LO, { ...ETH0, rpFilter: 1 }],
			...routed(path("eth1", false, "eth1")),
		}),
		"warning reverse-path packets from 203.0.113.7 (in 0.0.0.0/0) that arrive on eth0 are dropped by reverse path filtering (rp_filter 1): answers to them leave by eth1",
	],
	[
		"the same, and packets have been dropped already",
		host({
			interfaces: [LO, { ...ETH0, rpFilter: 1 }],
			reversePathDrops: 12,
			...routed(path("eth1", false, "eth1")),
		}),
		"error reverse-path packets from 203.0.113.7 (in 0.0.0.0/0) that arrive on eth0 are dropped by reverse path filtering (rp_filter 1, which has dropped 12 packets so far): answers to them leave by eth1",
	],
	[
		"no route back to any client",
		host(routed(path("", true))),
		"warning way-back no route leads from 192.0.2.10 to 203.0.113.7 (in 0.0.0.0/0): those clients get no answer",
	],
	[
		"a VIP on another interface than lo",
		host({
			interfaces: [
				{ ...LO, addresses: [] },
				ETH0,
				{ ...ETH0, name: "dummy0", driver: "dummy", silent: true, addresses: [held("192.0.2.10/32")] },
			],
		}),
		undefined,
	],
	[
		"a VIP on a dummy interface, in a connected subnet",
		{
			...host({
				interfaces: [
					LO,
					ETH0,
					{ ...ETH0, name: "dummy0", driver: "dummy", silent: true, addresses: [held("10.0.0.100/32")] },
				],
			}),
			...services(ON_SEGMENT),
			guard: undefined,
		},
		"error arp web (10.0.0.100) is in the subnet of eth0, and this host answers ARP for it: two hosts claim the address",
	],
	[
		"the same, and arp_ignore keeps the host silent",
		{
			...host({
				interfaces: [
					LO,
					{ ...ETH0, arpIgnore: 1 },
					{ ...ETH0, name: "dummy0", driver: "dummy", silent: true, addresses: [held("10.0.0.100/32")] },
				],
			}),
			...services(ON_SEGMENT),
			guard: undefined,
		},
		undefined,
	],
	[
		"a VRRP master whose guard is from its time as backup",
		{
			...host({ interfaces: [LO, { ...ETH0, addresses: [...ETH0.addresses, held("10.0.0.100/24")] }] }),
			...services(ON_SEGMENT),
			guard: guardFor([ON_SEGMENT.vip], []),
		},
		"error arp web (10.0.0.100) is an address of eth0, and the ARP guard keeps this host silent for it there: nobody can resolve it by ARP",
	],
	[
		"manual rules after connection tracking",
		{ ...host({ trackers: [WRITER] }), tracked: ["mangle INPUT"] },
		"warning connection-tracking connection tracking is active and the DADDR rules of mangle INPUT come after it: with a firewall that drops INVALID packets, or accepts only NEW and ESTABLISHED, connections hang after the handshake",
	],
	[
		"a missing rule",
		{ drift: [{ kind: "rule-missing", object: "a rule of web", problem: "is missing" }] },
		"error drift a rule of web is missing",
	],
	[
		"a host on which nothing was started",
		{ started: false, drift: [{ kind: "rule-missing", object: "a rule of web", problem: "is missing" }] },
		"note drift nothing of the service is on this host yet",
	],
	[
		"services that up would silence",
		{ silencing: "replace the working rules of web by rules for eth7, which this host does not have" },
		"error drift up will refuse to replace the working rules of web by rules for eth7, which this host does not have",
	],
	[
		"strict reverse path filtering on the outgoing interface",
		host({ interfaces: [LO, { ...ETH0, rpFilter: 1 }] }),
		undefined,
	],
	[
		"loose reverse path filtering elsewhere",
		host({
			interfaces: [LO, { ...ETH0, rpFilter: 2 }],
			...routed(path("eth1", true)),
		}),
		undefined,
	],
	[
		"an IPv6 VIP that a network card also has",
		{
			...services({ ...WEB, vip: address("2001:db8::1"), name: "six" }),
			...host({ interfaces: [LO, { ...ETH0, addresses: [...ETH0.addresses, held("2001:db8::1/64")] }] }),
		},
		"warning arp six (2001:db8::1) is an address of eth0 too, and this host answers neighbour discovery for it there",
	],
	[
		"a code of voice traffic",
		services(selecting(46)),
		"warning dscp-class web (192.0.2.10) selects DSCP 46 (TOS 0xb8), which is also EF, voice (RFC 3246)",
	],
	[
		"DSCP 0",
		services(selecting(0)),
		"error dscp-class web (192.0.2.10) selects DSCP 0, which every unmarked packet carries: all traffic to this host becomes the VIP's",
	],
	[
		"a code that this host sets for other traffic",
		host({ dscpWriters: [{ ...WRITER, value: 7 }] }),
		"warning dscp-class web (192.0.2.10) selects DSCP 7 (TOS 0x1c), which table ip mangle, chain PREROUTING writes for a class of its own",
	],
	[
		"a rule that changes the DSCP before ours",
		host({ dscpWriters: [{ ...WRITER, place: "table netdev q, chain in", hook: "ingress", priority: 0 }] }),
		"error dscp-remarked table netdev q, chain in (ingress) writes DSCP before the rules of services see it: codes may be lost",
	],
	["a rule that changes the DSCP after ours", host({ dscpWriters: [WRITER] }), undefined],
	[
		"an interface with an address and no program",
		{
			...host({ interfaces: [LO, ETH0, { ...ETH0, name: "eth1", addresses: [held("10.1.0.2/24")] }] }),
			served: new Set(["eth0"]),
		},
		"warning interfaces eth1 has the address 10.1.0.2 and no rule of a service: packets that directors send there are not rewritten",
	],
	[
		"a missing interface",
		configured({ interfaces: [ETH7] }),
		"error interfaces the configuration names interface eth7, which this host does not have",
	],
	[
		"the old module with rules",
		host({ moduleRules: ["table ip mangle, chain PREROUTING"], modules: new Map([["xt_DADDR", 0]]) }),
		"error old-module table ip mangle, chain PREROUTING has a rule of the DADDR kernel module, which rewrites in addition to l3dsr",
	],
	[
		"the old module, idle",
		host({ modules: new Map([["xt_DADDR", 0]]) }),
		"note old-module kernel module xt_DADDR is loaded and has no rules: it is no longer needed",
	],
	[
		"the old module, used by rules that nft does not list",
		host({ modules: new Map([["xt_DADDR", 2]]) }),
		"warning old-module kernel module xt_DADDR is loaded and in use (2): its rules rewrite in addition to l3dsr",
	],
	[
		"a rule that changes the DSCP of the other family",
		host({ dscpWriters: [{ ...WRITER, family: "ipv6", priority: -310, value: 7 }] }),
		undefined,
	],
	[
		"a rule that changes the DSCP before netfilter, with rules that run in a program",
		{ ...host({ dscpWriters: [{ ...WRITER, priority: -310 }] }), inNetfilter: new Set() },
		undefined,
	],
	[
		"connection tracking after rules that run in a program",
		{ ...configured({ table: "mangle" }), ...host({ trackedConnections: 12 }), inNetfilter: new Set() },
		undefined,
	],
	[
		"a firewall that drops packets without a route back on their interface",
		host({
			interfaces: [LO, ETH0, { ...ETH0, name: "eth1", addresses: [held("10.1.0.2/24")] }],
			reversePathFilters: [
				{ place: "table inet fw, chain pre", hook: "prerouting", priority: -150, strict: true },
			],
			...routed(path("eth1", true)),
		}),
		"warning reverse-path table inet fw, chain pre drops packets whose sender is not routed back through the interface on which they arrived: those from 203.0.113.7 (in 0.0.0.0/0) that arrive on eth0, unless other conditions of the rule leave them out",
	],
	[
		"such a firewall before the rewrite, which uses the route from the real address",
		{
			...configured({ table: "mangle" }),
			...host({
				reversePathFilters: [
					{ place: "table inet fw, chain pre", hook: "prerouting", priority: -290, strict: true },
				],
				...routed({
					...path("eth0", true),
					arrivals: [{ interface: "eth0", taken: true, wayBackFromReal: [] }],
				}),
			}),
		},
		"warning reverse-path table inet fw, chain pre drops packets whose sender is not routed back through the interface on which they arrived: those from 203.0.113.7 (in 0.0.0.0/0) that arrive on eth0, unless other conditions of the rule leave them out",
	],
	[
		"such a firewall after the rewrite, which uses the route from the VIP",
		host({
			reversePathFilters: [
				{ place: "table inet fw, chain pre", hook: "prerouting", priority: -290, strict: true },
			],
			...routed({
				...path("eth0", true),
				arrivals: [{ interface: "eth0", taken: true, wayBackFromReal: [] }],
			}),
		}),
		undefined,
	],
	[
		"the same in the other family",
		host({
			interfaces: [LO, ETH0, { ...ETH0, name: "eth1", addresses: [held("10.1.0.2/24")] }],
			reversePathFilters: [
				{
					place: "table inet fw, chain pre",
					hook: "prerouting",
					priority: -150,
					family: "ipv6",
					strict: true,
				},
			],
			...routed(path("eth1", true)),
		}),
		undefined,
	],
	[
		"a protocol without sockets, which needs no listener",
		{
			...services({ ...WEB, selection: { dscp: dscp(7), protocols: [47] } }),
			...host({ listeners: [] }),
		},
		undefined,
	],
	[
		"rewriting after connection tracking",
		{ ...configured({ table: "mangle" }), ...host({ trackedConnections: 12 }) },
		"warning connection-tracking connection tracking is active (12 entries) and table mangle comes after it: it sees half of each flow, and classifies answers as NEW or INVALID",
	],
	["rewriting before connection tracking", host({ trackedConnections: 12 }), undefined],
	[
		"nobody listens",
		host({ listeners: [{ protocol: "tcp", address: address("10.0.0.2"), port: 80 }] }),
		"warning listeners nothing listens on web (192.0.2.10): clients are refused",
	],
	[
		"nothing listens on the packets' new port",
		services({ ...WEB, setPort: portOf(8080) }),
		"warning listeners nothing listens on web (192.0.2.10) port 8080: clients are refused",
	],
	[
		"a socket on :: serves an IPv4 VIP",
		host({ listeners: [{ protocol: "tcp", address: address("::"), port: 80 }] }),
		undefined,
	],
	[
		"a socket on :: that does not accept IPv4",
		host({ listeners: [{ protocol: "tcp", address: address("::"), port: 80, ipv6Only: true }] }),
		"warning listeners nothing listens on web (192.0.2.10): clients are refused",
	],
	[
		"a service of two protocols, one of them without a listener",
		services({
			...WEB,
			selection: { dscp: dscp(7), protocols: [6, 17], ports: [{ first: 80, last: 80 }] },
		}),
		"warning listeners nothing listens on web (192.0.2.10) udp port 80: clients are refused",
	],
	[
		"a port without a protocol, with a listener for one",
		services({ ...WEB, selection: { dscp: dscp(7), ports: [{ first: 80, last: 80 }] } }),
		undefined,
	],
	[
		"one port of several without a listener",
		services({
			...WEB,
			selection: {
				dscp: dscp(7),
				protocols: [6],
				ports: [
					{ first: 80, last: 80 },
					{ first: 443, last: 444 },
				],
			},
		}),
		"warning listeners nothing listens on web (192.0.2.10) port 443-444: clients are refused",
	],
	[
		"nothing listens, and a NAT rule redirects packets",
		host({ listeners: [], redirects: ["table ip nat, chain PREROUTING"] }),
		"warning listeners nothing listens on web (192.0.2.10): clients are refused, unless a NAT rule redirects them",
	],
	[
		"lo is down, and no other interface has the VIP",
		host({ interfaces: [{ ...LO, up: false }, ETH0], routes: { ...FACTS.routes, delivered: [] } }),
		"error drift lo is down: the kernel delivers nothing to its addresses",
	],
	[
		"lo is down, and another interface also has the VIP",
		host({ interfaces: [{ ...LO, up: false }, ETH0] }),
		"warning drift lo is down: the kernel delivers nothing to its addresses",
	],
	[
		"a VIP on a tunnel",
		{
			...host({
				interfaces: [LO, ETH0, { ...ETH0, name: "tun0", silent: true, addresses: [held("192.0.2.10/32")] }],
			}),
			guard: undefined,
		},
		undefined,
	],
	[
		"IPv6 is disabled",
		{
			stopped: [
				{
					service: { ...WEB, vip: address("2001:db8::1"), name: "six" },
					reason: "IPv6 is disabled on this host",
				},
			],
		},
		"warning ipv6-disabled six (2001:db8::1) stays stopped: IPv6 is disabled on this host",
	],
	[
		"XDP on a device that leaves checksums pending",
		{ ...configured({ hook: "xdp" }), ...host({ interfaces: [LO, { ...ETH0, driver: "veth" }] }) },
		"error xdp XDP on eth0 (veth) is refused: packets may arrive there without their checksum, which XDP cannot see",
	],
	[
		"the same, accepted",
		{
			...configured({ hook: "xdp", openChecksums: "accept" }),
			...host({ interfaces: [LO, { ...ETH0, driver: "virtio_net" }] }),
		},
		"warning xdp XDP on eth0 (virtio_net) cannot distinguish an open checksum from a complete one: packets that are rewritten there and forwarded leave with a wrong checksum, and TCP is slower without GRO and segmentation offload",
	],
	["native XDP on a network card", configured({ hook: "xdp" }), undefined],
	[
		"XDP on a network card that removes VLAN tags, below a VLAN device",
		{
			...configured({ hook: "xdp" }),
			...host({
				interfaces: [
					LO,
					{ ...ETH0, offloads: { takesVlanTags: true, mergesPackets: false } },
					{ ...ETH0, name: "eth0.5", driver: "vlan", linked: "eth0", addresses: [] },
				],
			}),
		},
		"warning xdp eth0 removes VLAN tags before XDP sees a frame (rx-vlan-offload): frames of eth0.5 meet the rules of eth0",
	],
	[
		"the same without a VLAN device",
		{
			...configured({ hook: "xdp" }),
			...host({ interfaces: [LO, { ...ETH0, offloads: { takesVlanTags: true, mergesPackets: false } }] }),
		},
		undefined,
	],
	[
		"native XDP on a network card that merges packets",
		{
			...configured({ hook: "xdp" }),
			...host({ interfaces: [LO, { ...ETH0, offloads: { takesVlanTags: false, mergesPackets: true } }] }),
		},
		"warning xdp eth0 merges packets before XDP sees them (large-receive-offload): most drivers then refuse native XDP",
	],
	[
		"one name for the VIPs of two families",
		{
			...services(WEB, WEB6),
			...host({
				interfaces: [{ ...LO, addresses: [...LO.addresses, held("2001:db8::10/128")] }, ETH0],
				listeners: [{ protocol: "tcp", address: address("::"), port: 80 }],
			}),
		},
		undefined,
	],
	[
		"a datapath that cannot run the configured rules",
		{ refused: { message: "put rule -A PREROUTING … on datapath ebpf: there is no interface eth7 now" } },
		"error datapath up will refuse to put rule -A PREROUTING … on datapath ebpf: there is no interface eth7 now",
	],
	[
		"two VIPs that only their UDP ports distinguish",
		services(
			{ ...WEB, selection: { dscp: dscp(7), protocols: [17], ports: [{ first: 53, last: 53 }] } },
			{
				...WEB,
				name: "other",
				vip: address("192.0.2.11"),
				selection: { dscp: dscp(7), protocols: [17], ports: [{ first: 54, last: 54 }] },
			},
		),
		"warning fragments large datagrams to web (192.0.2.10) are lost: their later fragments carry no port, and could belong to a service of another VIP",
	],
	[
		"one name for two VIPs",
		services(WEB, { ...WEB, vip: address("192.0.2.11"), selection: { dscp: dscp(9) } }),
		"note names web is the name of 192.0.2.10 and of 192.0.2.11: status and diff cannot tell them apart",
	],
	[
		"native XDP with jumbo frames",
		{ ...configured({ hook: "xdp" }), ...host({ interfaces: [LO, { ...ETH0, mtu: 9000 }] }) },
		"error xdp eth0 has an MTU of 9000: most drivers refuse native XDP above 3498",
	],
	[
		"an XDP hook that the nft datapath does not have",
		configured({ hook: "xdp-generic", datapath: "nft" }),
		undefined,
	],
];

for (const [what, input, said] of CASES) {
	test(`${said === undefined ? "reports nothing about" : "explains"}: ${what}`, () => {
		const findings = runChecks({ ...FIT, ...input });
		const lines = findings.map(({ severity, check, message }) => `${severity} ${check} ${message}`);
		if (said === undefined) assert.deepEqual(lines, []);
		else assert(lines.includes(said), lines.join("\n"));
		for (const { remedy } of findings) assert.notEqual(remedy, "");
	});
}

test("a missing server should listen where its answers come from the VIP", () => {
	const remedyFor = (protocols?: number[]): string | undefined => {
		const selection = { dscp: dscp(7), ...(protocols === undefined ? {} : { protocols }) };
		const input = { ...FIT, ...services({ ...WEB, selection }), ...host({ listeners: [] }) };
		return runChecks(input).find(({ check }) => check === "listeners")?.remedy;
	};
	assert.equal(remedyFor([6]), "start the server; it must listen on the VIP or on all addresses");
	assert.equal(remedyFor([17]), "start the server; it must listen on the VIP itself");
	const both = "start the server; it must listen on the VIP itself; for TCP, all addresses work too";
	assert.equal(remedyFor([6, 17]), both);
	assert.equal(remedyFor(), both);
});

test("finds out which address a UDP server on all addresses answers from, but not for one on the VIP", () => {
	const dns: Service = {
		...WEB,
		selection: { dscp: dscp(7), protocols: [17], ports: [{ first: 53, last: 53 }] },
	};
	const asked = (service: Service, ...servers: HostFacts["listeners"]): string | undefined =>
		questionsOf({ ...FIT, ...services(service), ...host({ listeners: servers }) }).find(
			({ about }) => about === "udp-source",
		)?.question;
	const server = (text: string, protocol: "tcp" | "udp" = "udp") => ({
		protocol,
		address: address(text),
		port: 53,
	});
	const question =
		"do the UDP servers of web (192.0.2.10), which listen on all addresses, answer from the VIP? They do so only with IP_PKTINFO";
	assert.equal(asked(dns, server("0.0.0.0")), question);
	assert.equal(asked(dns, server("::")), question);
	assert.equal(asked(dns, server("0.0.0.0"), server("192.0.2.10")), undefined);
	assert.equal(asked(dns, server("0.0.0.0", "tcp")), undefined);
	assert.equal(asked(WEB, server("0.0.0.0")), undefined, "a service of every port names no server");
});

test("no remedy removes the only address at which the host can be reached", () => {
	const remedies = [[held("192.0.2.10/24")], [...ETH0.addresses, held("192.0.2.10/24")]].map((addresses) => {
		const input = { ...FIT, ...host({ interfaces: [LO, { ...ETH0, addresses }] }), guard: undefined };
		return (
			runChecks(input).find(({ message }) => message.includes("and this host answers ARP for it there"))
				?.remedy ?? ""
		);
	});
	assert.match(remedies[0] ?? "", /^give the service a separate address: 192\.0\.2\.10 is the only one/);
	assert.match(remedies[1] ?? "", /^ip address del 192\.0\.2\.10 dev eth0, unless .* you are connected to/);
});

test("if an interface is missing, the remedy names the existing ones, if any", () => {
	const remedies = [[LO, ETH0], [LO]].map((interfaces) => {
		const input = { ...FIT, ...host({ interfaces }), ...configured({ interfaces: [ETH7] }) };
		return runChecks(input).find(({ check }) => check === "interfaces")?.remedy;
	});
	assert.deepEqual(remedies, ["name one of eth0, or leave interfaces out", "leave interfaces out"]);
});

test("sockets are read from the kernel's format in /proc", () => {
	const tcp = `  sl  local_address rem_address   st tx_queue
   0: 0A02000A:0050 00000000:0000 0A 00000000:00000000
   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000
`;
	assert.deepEqual(decodeSockets(tcp, "tcp"), [{ protocol: "tcp", address: address("10.0.2.10"), port: 80 }]);
	const udp6 = `  sl  local_address                         remote_address                        st
 12: B80D0120000000000000000001000000:0035 00000000000000000000000000000000:0000 07
`;
	assert.deepEqual(decodeSockets(udp6, "udp"), [
		{ protocol: "udp", address: address("2001:db8::1"), port: 53 },
	]);
	assert.deepEqual(decodeSockets("", "udp"), []);
});
