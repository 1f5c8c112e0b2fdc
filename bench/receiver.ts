/**
 * A network namespace whose receive path is measured. Packets pass tc and the netfilter hook PREROUTING, are
 * routed, and end there, in the same way for every destination: an IPv4 packet because its frame was a
 * link-layer broadcast (drop_unicast_in_l2_multicast), an IPv6 packet on a blackhole route.
 */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { enterNetworkNamespace, interfaceByName, type NetInterface } from "@l3dsr/linux";
import type { Family } from "@l3dsr/packet";

/** One route for the real server's address and all VIPs, so that every lookup takes equally long. */
const SET_UP = `
set -e
cd /proc/sys/net/ipv4
for f in conf/*/rp_filter; do echo 0 >$f; done
for f in conf/*/accept_local conf/*/drop_unicast_in_l2_multicast; do echo 1 >$f; done
echo 0 >ip_early_demux
for f in ../ipv6/conf/*/accept_dad; do echo 0 >$f; done
ip link set lo up
ip link add v0 address 02:00:00:00:00:02 type veth peer name v1
for d in v0 v1; do
	for f in conf/$d/rp_filter; do echo 0 >$f; done
	for f in conf/$d/accept_local conf/$d/drop_unicast_in_l2_multicast; do echo 1 >$f; done
	ip link set $d up
done
ip route add local 198.18.0.0/15 dev lo
ip -6 route add blackhole 2001:db8:18::/47
`;

let made = 0;

export class Receiver implements Disposable {
	readonly name: string;
	/** The interface where packets arrive, and its peer. */
	readonly device: NetInterface;
	readonly peer: NetInterface;

	constructor() {
		this.name = `l3bench-${process.pid}-${++made}`;
		execFileSync("ip", ["netns", "add", this.name]);
		this.run("sh", "-c", SET_UP);
		this.enter();
		this.device = interfaceByName("v0");
		this.peer = interfaceByName("v1");
	}

	/** Moves this process, and the processes that it starts from now on, into the namespace. */
	enter(): void {
		enterNetworkNamespace(`/run/netns/${this.name}`);
	}

	run(program: string, ...args: readonly string[]): string {
		return execFileSync("ip", ["netns", "exec", this.name, program, ...args], { encoding: "utf8" });
	}

	/** The same, with `input` on stdin. */
	feed(input: string, program: string, ...args: readonly string[]): void {
		execFileSync("ip", ["netns", "exec", this.name, program, ...args], { input });
	}

	/** The number of IP packets that have arrived; this process must have entered. */
	received(family: Family): number {
		if (family === "ipv6") {
			const text = readFileSync("/proc/self/net/snmp6", "utf8");
			return Number(/^Ip6InReceives\s+(\d+)/m.exec(text)?.[1]);
		}
		const [names = "", values = ""] = readFileSync("/proc/self/net/snmp", "utf8")
			.split("\n")
			.filter((line) => line.startsWith("Ip:"));
		return Number(values.split(" ")[names.split(" ").indexOf("InReceives")]);
	}

	[Symbol.dispose](): void {
		execFileSync("ip", ["netns", "delete", this.name]);
	}
}
