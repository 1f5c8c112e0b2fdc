/**
 * Packets for an address of the host are rewritten on every interface, without `interfaces` in the
 * configuration.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { enterNetns, ip, Netns, run } from "../../../../../test/support/netns.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-arrival-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
for (const key of ["all", "default"]) run("sysctl", "-qw", `net.ipv4.conf.${key}.rp_filter=0`);

interface Case {
	readonly title: string;
	/** Run on the host, whose uplinks eth0 and eth1 are up. */
	readonly commands: readonly string[];
	readonly real: string;
	/** Where the director's packets arrive. */
	readonly by: "eth0" | "eth1";
	/** The choice of `datapath: auto`. */
	readonly datapath: "ebpf" | "nft";
}

const CASES: readonly Case[] = [
	{
		title: "an address on lo, routed to the host over its only uplink, which has no address",
		commands: ["link set eth1 down", "address add 10.1.1.1/32 dev lo"],
		real: "10.1.1.1",
		by: "eth0",
		datapath: "ebpf",
	},
	{
		title: "an address on lo, with the host's other address on another interface",
		commands: ["address add 10.0.0.5/24 dev eth0", "address add 10.1.1.1/32 dev lo"],
		real: "10.1.1.1",
		by: "eth1",
		datapath: "nft",
	},
	{
		title: "an address of scope link",
		commands: ["link set eth1 down", "address add 10.0.0.5/24 dev eth0 scope link"],
		real: "10.0.0.5",
		by: "eth0",
		datapath: "ebpf",
	},
	{
		title: "an address of eth0, with packets that arrive on eth1, which has another",
		commands: ["address add 10.0.0.5/24 dev eth0", "address add 10.0.1.5/24 dev eth1"],
		real: "10.0.0.5",
		by: "eth1",
		datapath: "ebpf",
	},
	{
		title: "an address of eth0, with the packets coming in by eth1, which has none",
		commands: ["address add 10.0.0.5/24 dev eth0"],
		real: "10.0.0.5",
		by: "eth1",
		datapath: "nft",
	},
];

for (const { title, commands, real, by, datapath } of CASES) {
	for (const choice of ["auto", "ebpf", "nft"] as const) {
		test(`${title}: its packets are rewritten with datapath ${choice}`, async () => {
			using director = new Netns("director");
			for (const name of ["eth0", "eth1"]) {
				ip(`link add ${name} type veth peer name ${name} netns ${director.name}`);
				ip(`link set ${name} up`);
				director.ip(`link set ${name} up`);
			}
			for (const command of commands) ip(command);
			ip(`route add 203.0.113.1 dev ${by}`);
			director.ip("address add 203.0.113.1/32 dev lo");
			director.ip(`route add ${real} dev ${by} src 203.0.113.1`);
			writeFileSync(config, `datapath: ${choice}\nservices: [{ vip: 192.0.2.10, dscp: 7 }]\n`);
			const up = await l3dsr("up", "-c", config);
			assert.equal(up.exitCode, 0, up.stderr);
			// The answer comes from the VIP, which ping does not accept; only the rewrite is checked.
			spawnSync("ip", [
				...["netns", "exec", director.name],
				...["ping", "-c", "1", "-W", "0.1", "-Q", "0x1c", real],
			]);
			const status = JSON.parse((await l3dsr("status", "--json", "-c", config)).stdout);
			assert.equal(status.services[0].packets, 1);
			assert.deepEqual(status.datapath.running, [choice === "auto" ? datapath : choice]);
			assert.equal((await l3dsr("down")).exitCode, 0);
			for (const name of ["eth0", "eth1"]) ip(`link del ${name}`);
			ip("address flush dev lo scope global");
		});
	}
}
