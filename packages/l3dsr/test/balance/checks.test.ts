/** The finding of each check of a director; a healthy host has none. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "@l3dsr/packet";
import { runDirectorChecks } from "../../src/balance/checks/all.ts";
import type { DirectorCheckInput, DirectorFacts, RealWay } from "../../src/balance/checks/input.ts";
import type { InterfaceFacts } from "../../src/host/facts.ts";
import { fleetOf, real, SETTINGS } from "./wire.ts";

const address = (text: string) => parseAddress(text) ?? assert.fail(text);

const ETH0: InterfaceFacts = {
	name: "eth0",
	alternativeNames: [],
	up: true,
	mtu: 1500,
	rpFilter: 0,
	arpIgnore: 0,
	driver: "mlx5_core",
	addresses: [{ address: address("10.9.0.1"), prefixLength: 24, scope: "global" }],
};
const LO: InterfaceFacts = { ...ETH0, name: "lo", mtu: 65536, addresses: [] };
const FLEET = fleetOf([real(1), real(2)], { echo: "reply" });
const BY_ETH0: RealWay = { to: "link", interface: "eth0", mtu: 1500 };
const ways = (way: RealWay) =>
	new Map(
		FLEET.pools.flatMap(({ reals }) =>
			reals.flatMap(({ addresses }) => addresses.map(({ text }) => [text, way])),
		),
	);
const FACTS: DirectorFacts = {
	interfaces: [LO, ETH0],
	dscpWriters: [],
	ways: ways(BY_ETH0),
	forwardsIpv4: new Set(["eth0"]),
	forwardsIpv6: true,
	sendsRedirects: new Set(),
};
const FIT: DirectorCheckInput = {
	settings: { ...SETTINGS, interfaces: ["eth0"], openChecksums: "refuse" },
	fleet: FLEET,
	held: [],
	served: [],
	facts: FACTS,
};

type Change = Partial<Omit<DirectorCheckInput, "facts" | "settings">> & {
	readonly facts?: Partial<DirectorFacts>;
	readonly settings?: Partial<DirectorCheckInput["settings"]>;
};

/** `severity[check]: message` of each finding. */
function found({ facts = {}, settings = {}, ...more }: Change): string[] {
	const findings = runDirectorChecks({
		...FIT,
		...more,
		facts: { ...FACTS, ...facts },
		settings: { ...FIT.settings, ...settings },
	});
	for (const { remedy } of findings) assert.ok(remedy.length > 0);
	return findings.map(({ severity, check, message }) => `${severity}[${check}]: ${message}`);
}

const BY_KERNEL = { settings: { forward: "kernel" } } as const;
const HOLDS_VIP: InterfaceFacts = {
	...LO,
	addresses: [{ address: address("192.0.2.10"), prefixLength: 32, scope: "global" }],
};
const CHECKED = fleetOf(
	[real(1), real(2)],
	{ echo: "reply" },
	{ check: { type: "tcp", intervalMs: 1000, timeoutMs: 500, fall: 3, rise: 2 } },
);

test("a healthy host has no finding with either way of forwarding", () => {
	assert.deepEqual(found({}), []);
	assert.deepEqual(found(BY_KERNEL), []);
});

const CASES: readonly (readonly [title: string, change: Change, ...expected: RegExp[]])[] = [
	[
		"a refusal of up",
		{ refused: { message: "attach the director to eth0: it is too hot" } },
		/^error\[director\]: up will refuse to attach the director to eth0: it is too hot$/,
	],
	[
		"an interface that is down",
		{ facts: { interfaces: [LO, { ...ETH0, up: false }] } },
		/^error\[director\]: eth0 is down/,
	],
	[
		"an interface by its alternative name",
		{
			settings: { interfaces: ["uplink"] },
			facts: { interfaces: [LO, { ...ETH0, alternativeNames: ["uplink"], up: false }] },
		},
		/^error\[director\]: eth0 is down/,
	],
	[
		"a large MTU at XDP",
		{ facts: { interfaces: [LO, { ...ETH0, mtu: 9000 }], ways: ways({ ...BY_ETH0, mtu: 9000 }) } },
		/^error\[xdp\]: eth0 has an MTU of 9000/,
	],
	["generic XDP", { settings: { hook: "xdp-generic" } }, /^warning\[xdp\]: generic XDP on eth0/],
	[
		"open checksums",
		{ settings: { openChecksums: "accept" }, facts: { interfaces: [LO, { ...ETH0, driver: "veth" }] } },
		/^warning\[xdp\]: packets may come to eth0 \(veth\) without their checksum/,
	],
	[
		"a VIP on the director",
		{ facts: { interfaces: [HOLDS_VIP, ETH0] } },
		/^warning\[vip-here\]: VIP 192\.0\.2\.10 \(web\) is an address of this director, on lo/,
	],
	[
		"a VIP on the director that is checked",
		{ fleet: CHECKED, facts: { interfaces: [HOLDS_VIP, ETH0] } },
		/^error\[vip-here\]: .*health checks/,
	],
	[
		"pings at tc that the program would answer",
		{ settings: { hook: "tc" } },
		/^warning\[echo\]: pings of VIP web are not answered/,
	],
	[
		"pings without an answer",
		{ fleet: fleetOf([real(1), real(2)]) },
		/^note\[echo\]: nobody answers a ping of 192\.0\.2\.10, 2001:db8:a::10 \(web\)/,
	],
	[
		"a pool without a real server in use",
		{ fleet: fleetOf([real(1, { state: "drain" }), real(2, { weight: 0 })], { echo: "reply" }) },
		/^error\[pool\]: no real server takes new flows of web 192\.0\.2\.10 tcp,udp\/80/,
		/^error\[pool\]: no real server takes new flows of web 2001:db8:a::10 tcp,udp\/80/,
	],
	[
		"a pool with one",
		{ fleet: fleetOf([real(1)], { echo: "reply" }) },
		/^note\[pool\]: front\/r1 alone takes the flows of web 192\.0\.2\.10/,
		/^note\[pool\]: front\/r1 alone takes the flows of web 2001/,
	],
	[
		"a held real server that is gone",
		{ held: [{ pool: "front", real: "r9", state: "disabled", since: "2026-01-01T00:00:00.000Z" }] },
		/^warning\[held\]: front\/r9 is disabled on this host, but is not in the fleet/,
	],
	[
		"no route",
		{ facts: { ways: new Map([...FACTS.ways, ["10.1.0.1", { to: "nowhere" }]]) } },
		/^error\[routes\]: there is no route to front\/r1 \(10\.1\.0\.1\): /,
	],
	[
		"a real server that is the director",
		{ facts: { ways: new Map([...FACTS.ways, ["10.1.0.1", { to: "local" }]]) } },
		/^note\[routes\]: front\/r1 \(10\.1\.0\.1\) is this host itself/,
	],
	[
		"a narrow way out",
		{ facts: { ways: new Map([...FACTS.ways, ["10.1.0.1", { to: "link", interface: "tun0", mtu: 1400 }]]) } },
		/^error\[mtu\]: packets of up to 1500 bytes arrive at eth0, but the path to front\/r1 \(10\.1\.0\.1\) by tun0 takes 1400/,
	],
	[
		"no forwarding, where the kernel is needed occasionally",
		{ facts: { forwardsIpv4: new Set(), forwardsIpv6: false } },
		/^warning\[forwarding\]: this host does not forward IPv4 that arrives on eth0/,
		/^warning\[forwarding\]: this host does not forward IPv6/,
	],
	[
		"no forwarding, where a real server is behind an interface without the program",
		{
			facts: {
				forwardsIpv4: new Set(),
				forwardsIpv6: false,
				ways: new Map([...FACTS.ways, ["10.1.0.1", { to: "link", interface: "eth1", mtu: 1500 }]]),
			},
		},
		/^error\[forwarding\]: .* IPv4 that arrives on eth0: packets for front\/r1 \(10\.1\.0\.1\) are rewritten and then dropped, because the program does not run on eth1$/,
		/^warning\[forwarding\]: this host does not forward IPv6/,
	],
	[
		"no forwarding, where the route uses the VLAN device of the configured tag",
		{
			settings: { vlan: 42 },
			facts: {
				forwardsIpv4: new Set(),
				ways: ways({ ...BY_ETH0, interface: "eth0.42", tagged: { interface: "eth0", vlan: 42 } }),
			},
		},
		/^warning\[forwarding\]: .* next hop is currently unknown are dropped$/,
	],
	[
		"no forwarding, where the kernel forwards",
		{ ...BY_KERNEL, facts: { forwardsIpv4: new Set(), forwardsIpv6: false } },
		/^error\[forwarding\]: .*rewritten and then dropped/,
		/^error\[forwarding\]: /,
	],
	[
		"reverse path filtering",
		{ ...BY_KERNEL, facts: { interfaces: [LO, { ...ETH0, rpFilter: 1 }] } },
		/^warning\[reverse-path\]: eth0 has strict reverse path filtering/,
	],
	[
		"reverse path filtering of packets that the program leaves to the kernel",
		{ facts: { interfaces: [LO, { ...ETH0, rpFilter: 1 }] } },
		/^note\[reverse-path\]: eth0/,
	],
	[
		"redirects",
		{ ...BY_KERNEL, facts: { sendsRedirects: new Set(["eth0"]) } },
		/^warning\[redirects\]: the kernel sends ICMP redirects for packets that leave by eth0/,
	],
	[
		"a rule that sets the DSCP after the director",
		{
			...BY_KERNEL,
			facts: {
				dscpWriters: [{ place: "table ip mangle, chain POSTROUTING", hook: "postrouting", priority: -150 }],
			},
		},
		/^error\[dscp-remarked\]: table ip mangle, chain POSTROUTING \(postrouting\) writes DSCP/,
	],
];

for (const [title, change, ...expected] of CASES) {
	test(`finds ${title}`, () => {
		const findings = found(change);
		assert.equal(findings.length, expected.length, findings.join("\n"));
		for (const [n, text] of findings.entries()) assert.match(text, expected[n] ?? /^$/);
	});
}

test("a rule that sets the DSCP of packets that this host sends itself does not affect the director", () => {
	for (const hook of ["output", "input"]) {
		const dscpWriters = [{ place: "table ip mangle, chain X", hook, priority: -150 }];
		assert.deepEqual(found({ ...BY_KERNEL, facts: { dscpWriters } }), []);
	}
});

test("without health checks, a VIP that this host also serves may be on it", () => {
	const served = [address("192.0.2.10")];
	assert.deepEqual(found({ served, facts: { interfaces: [HOLDS_VIP, ETH0] } }), []);
});
