/**
 * Compares the results of `check` and `probe` for hosts in namespaces with the experience of real clients:
 * for the hosts in the table, and for L3DSR_HOSTS random ones (make check-hosts); L3DSR_HOSTS_SEED is the
 * seed of the first.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { commandPath, start } from "../../../../test/support/commands.ts";
import { enterNetns } from "../../../../test/support/netns.ts";
import { type CheckRecord, clientsNamed, type Flow, falseOf } from "./check-claims.ts";
import { CARDS, FIT, type Host, hostOf } from "./host.ts";
import { falseOfProbe, PROBE_WAYS, type ProbeRecord } from "./probe-claims.ts";
import { CODE, DIRECTOR, PORT, REAL, RealServer, Stage, vipsOf } from "./stage.ts";

enterNetns();

const COUNT = Number(process.env["L3DSR_HOSTS"] ?? 0);
const FIRST = Number(process.env["L3DSR_HOSTS_SEED"] ?? Math.floor(Math.random() * 1e6));
/** Former errors and omissions of check or probe, each with the seed of such a host. */
const CASES: readonly (readonly [what: string, seed: number, host: Partial<Host>])[] = [
	["has a tunnel with the VIPs, without ARP or neighbour discovery", 1, { vips: "other", tcp: "real" }],
	["redirects the port of a service to one without a listener", 2, { firewall: "redirect" }],
	[
		"drops packets without a route back, and does not answer ARP for VIPs of its interface",
		5035,
		{ firewall: "fib-strict", vips: "eth0", policy: "eth1", rpFilter: { all: 0, eth0: 1, eth1: 0 } },
	],
	[
		"refuses a network by a route, and drops clients of its subnets by reverse path filtering",
		5,
		{ network: "blackhole", rpFilter: { all: 1, eth0: 1, eth1: 0 }, udp: "other" },
	],
	["serves only IPv6 on ::", 14, { defaultRoute: "halves", tcp: "ipv6" }],
	[
		"loses its rules, and answers datagrams from another address",
		40,
		{ datapath: "nft", change: "flush", udp: "any", ports: "port" },
	],
	[
		"tracks connections before its rules, and drops what is invalid",
		8,
		{ datapath: "nft", table: "mangle", firewall: "invalid", reflectTos: true },
	],
	[
		"has its VIPs on another interface too, and lo is down",
		700001,
		{ datapath: "ebpf", vips: "other", change: "lo-down", defaultRoute: "halves" },
	],
	[
		"checks the route back in a rule with the priority of its own",
		739789,
		{
			...{ datapath: "nft", table: "raw", defaultRoute: "eth1", network: "eth0", policy: "eth1" },
			firewall: "legacy-rpfilter",
		},
	],
	[
		"checks the route back from the real address, in a rule before its own",
		700064,
		{
			datapath: "nft",
			table: "mangle",
			firewall: "fib-strict",
			policy: "eth1",
			network: "blackhole",
			udp: "any",
		},
	],
];
/** Clients in each half of the Internet, and in the network to which hosts may have a route. */
const CLIENTS = ["203.0.113.50", "37.1.2.3", "172.20.5.9", "2001:db8:c::50"];

const command = commandPath("l3dsr");
const directory = mkdtempSync(join(tmpdir(), "l3dsr-hosts-"));
const file = join(directory, "l3dsr.yaml");
const stage = new Stage();
after(() => {
	stage[Symbol.dispose]();
	rmSync(directory, { recursive: true });
});

async function differences(host: Host, patiently: boolean): Promise<string[]> {
	using server = await RealServer.start(host, stage, file, command);
	const said = check(server);
	const asked = await flowsOf(host, said, server, patiently);
	return [
		...falseOf(host, said, { ...asked, claimed: stage.claimed(Object.values(vipsOf(host))) }),
		...(await probeDifferences(host, patiently)),
	];
}

function check({ netns }: RealServer): CheckRecord {
	// It exits with 1 if it finds errors.
	return JSON.parse(netns.run("sh", "-c", `${command} check -c ${file} --json || test $? = 1`));
}

async function flowsOf(
	host: Host,
	said: CheckRecord,
	server: RealServer,
	patiently: boolean,
): Promise<{ readonly flows: Flow[]; readonly reversePathDrops: number }> {
	const vips = vipsOf(host);
	const asked = [...new Set([...CLIENTS, ...clientsNamed(said)])].flatMap((client) =>
		CARDS.flatMap((card) =>
			(["tcp", "udp"] as const).map((protocol) => {
				const family = client.includes(":") ? ("ipv6" as const) : ("ipv4" as const);
				return { client, card, protocol, family };
			}),
		),
	);
	const before = server.reversePathDrops();
	const outcomes = await stage.ask(
		asked.map(({ client, card, protocol, family }) => ({ from: client, card, protocol, host: vips[family] })),
		"clients",
		patiently,
	);
	return {
		flows: asked.map((one, at) => ({ ...one, outcome: outcomes[at] ?? "silence" })),
		reversePathDrops: server.reversePathDrops() - before,
	};
}

async function probeDifferences(host: Host, patiently: boolean): Promise<string[]> {
	const vips = vipsOf(host);
	const asked = await Promise.all(
		PROBE_WAYS.map((way) => probe(REAL[way.card][way.family], vips[way.family], way, patiently)),
	);
	const questions = (whom: (way: (typeof PROBE_WAYS)[number]) => string) =>
		PROBE_WAYS.map((way) => {
			const { card, protocol, family } = way;
			return { card, protocol, host: whom(way), from: DIRECTOR[card][family] };
		});
	const met = await stage.ask(
		[...questions(({ family }) => vips[family]), ...questions(({ card, family }) => REAL[card][family])],
		"director",
		patiently,
	);
	return PROBE_WAYS.flatMap((way, at) => {
		const [said, vip, real] = [asked[at], met[at], met[at + PROBE_WAYS.length]];
		return said && vip && real ? falseOfProbe(host, way, said, { vip, real }) : ["no probe"];
	});
}

/** Runs on the director. */
async function probe(
	real: string,
	vip: string,
	{ protocol, connects }: (typeof PROBE_WAYS)[number],
	patiently: boolean,
): Promise<ProbeRecord> {
	const how = [...(protocol === "udp" ? ["--udp"] : []), ...(connects ? ["--connect"] : [])];
	const { outcome } = start(
		"ip",
		...(["netns", "exec", stage.director.name, command, "probe", real, "--vip", vip, "--json"] as const),
		...["--dscp", String(CODE), "--port", String(PORT), "--timeout", patiently ? "3" : "0.6", ...how],
	);
	const { stdout, stderr } = await outcome;
	if (stdout === "") throw new Error(stderr);
	return JSON.parse(stdout).targets[0];
}

async function holds(host: Host): Promise<void> {
	const found = await differences(host, false);
	// On a busy machine, a slow answer is not a lost one: repeat the test patiently.
	const sure = found.length === 0 ? [] : await differences(host, true);
	assert.deepEqual(sure, [], JSON.stringify(host));
}

describe("check and probe agree with a host's real clients", () => {
	for (const [what, seed, host] of CASES) {
		it(`if it ${what} (seed ${seed})`, async () => await holds({ ...FIT, ...host }));
	}
	for (let nth = 0; nth < COUNT; nth++) {
		it(`on the host of seed ${FIRST + nth}`, async () => await holds(hostOf(FIRST + nth)));
	}
});
