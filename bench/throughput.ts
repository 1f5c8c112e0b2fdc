/**
 * iperf3 through the lab: client, router, director, router, real server, all on one CPU, so that bits per
 * second show the cost of a bit on its whole way. The director does the same work in every case; without
 * rewriting it passes the packet on with its old destination, and the router sends it to the real server.
 */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { enterNetworkNamespace } from "@l3dsr/linux";
import type { Family } from "@l3dsr/packet";
import { addressOf, REAL_SERVER_DEVICE, VIPS } from "../packages/l3dsr/src/lab/layout.ts";
import { buildTopology, destroyTopology, inHost, type Topology } from "../packages/l3dsr/src/lab/topology.ts";
import type { DatapathSettings } from "../packages/l3dsr/src/model/configuration.ts";
import { EMPTY_RULESET, ORDINAL_STEP } from "../packages/l3dsr/src/model/ruleset.ts";
import { openDatapath } from "../packages/l3dsr/src/rewrite/host-datapath.ts";
import { daddrRule } from "../packages/l3dsr/test/packets/rules.ts";
import { setRules } from "../packages/l3dsr/test/rewrite/set-rules.ts";
import { type Candidate, interleave, type Series } from "./measure.ts";

const PORT = 5201;

type Choice = Partial<DatapathSettings>;

export interface Way {
	readonly name: string;
	/** Undefined: the real server does not rewrite. */
	readonly choice?: Choice;
}

export const WAYS: readonly Way[] = [
	{ name: "no rewriting" },
	{ name: "ebpf at tcx", choice: { datapath: "ebpf", hook: "tcx" } },
	{ name: "ebpf at clsact", choice: { datapath: "ebpf", hook: "clsact" } },
	{ name: "ebpf at native XDP", choice: { datapath: "ebpf", hook: "xdp", openChecksums: "accept" } },
	{ name: "ebpf at generic XDP", choice: { datapath: "ebpf", hook: "xdp-generic", openChecksums: "accept" } },
	{ name: "nft", choice: { datapath: "nft" } },
];

export interface ThroughputEffort {
	readonly rounds: number;
	readonly seconds: number;
}

/** Gbit/s of TCP from the client to a VIP, for each way. Moves this process between namespaces. */
export async function measureThroughput(
	effort: ThroughputEffort,
	family: Family,
	ways: readonly Way[] = WAYS,
): Promise<Map<string, Series>> {
	const environment = process.env;
	const topology = buildTopology(`l3bench-${process.pid}`);
	let server: ChildProcess | undefined;
	try {
		const vip = VIPS.find((one) => one.vip.family === family);
		if (vip === undefined) throw new RangeError(`the lab has no VIP of ${family}`);
		const real = addressOf("real1", family).text;
		const [ip, nft] = family === "ipv4" ? (["-4", "ip"] as const) : (["-6", "ip6"] as const);
		// Through one director only.
		const way = `route replace ${vip.vip.text} via ${addressOf("director", family).text}\n`;
		const route = `${way}rule add iif director-out lookup 100\nroute add ${vip.vip.text} via ${real} table 100\n`;
		await inHost(topology, "router", { command: ["ip", ip, "-batch", "-"], input: route, environment });
		server = await iperfServer(topology);
		const direct = async (to: string): Promise<void> => {
			const rule = `${nft} daddr ${vip.vip.text} ${nft} dscp set ${vip.dscp} ${nft} daddr set ${to}`;
			const chain = `type filter hook prerouting priority raw\n${rule}\n`;
			const table = `table ${nft} director\ndelete table ${nft} director\ntable ${nft} director {\nchain prerouting {\n${chain}}\n}\n`;
			await inHost(topology, "director", { command: ["nft", "-f", "-"], input: table, environment });
		};
		const candidates = ways.map(({ name, choice }): Candidate => {
			const rule = (device?: string) =>
				daddrRule(vip.vip.text, {
					dscp: vip.dscp,
					header:
						device === undefined ? {} : { inInterface: { name: device, wildcard: false, negated: false } },
				});
			return {
				name,
				async measure() {
					await direct(choice === undefined ? vip.vip.text : real);
					enterNetworkNamespace(`/run/netns/${topology.namespaces.real1}`);
					const datapath = openDatapath({ ...choice });
					if (choice !== undefined) {
						const one = rule(choice.datapath === "ebpf" ? REAL_SERVER_DEVICE : undefined);
						const entries = [{ rule: one, ordinal: ORDINAL_STEP }];
						await setRules(datapath, { entries });
					}
					const gbits = iperf(topology, vip.vip.text, effort.seconds);
					await setRules(datapath, EMPTY_RULESET);
					return gbits;
				},
			};
		});
		return await interleave(candidates, { rounds: effort.rounds, samples: 1, warmUp: false });
	} finally {
		server?.kill("SIGKILL");
		destroyTopology(topology.name);
	}
}

/** Started on the real server, and listening. */
async function iperfServer({ namespaces }: Topology): Promise<ChildProcess> {
	const args = ["netns", "exec", namespaces.real1, "iperf3", "-s", "-p", String(PORT), "--forceflush"];
	const server = spawn("ip", args, { stdio: ["ignore", "pipe", "inherit"] });
	let said = "";
	for await (const chunk of server.stdout) {
		said += String(chunk);
		if (said.includes("listening")) break;
	}
	if (!said.includes("listening")) throw new Error(`iperf3 does not listen: ${said}`);
	return server;
}

function iperf({ namespaces }: Topology, to: string, seconds: number): number {
	const args = ["netns", "exec", namespaces.client, "iperf3", "-J", "-c", to, "-p", String(PORT)];
	const text = execFileSync("ip", [...args, "-t", String(seconds)], { encoding: "utf8" });
	// iperf3's own format: the receiver's figures.
	const { end } = JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } };
	return end.sum_received.bits_per_second / 1e9;
}
