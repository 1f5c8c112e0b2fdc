/** Who may have changed a host, judged by the running processes. */
import { readdirSync, readFileSync, statSync } from "node:fs";

/**
 * What was found changed: the rules, all of them on an interface with an eBPF program, the addresses on `lo`,
 * everything of nftables at once, the host's own addresses, IPv6.
 */
export type Trace = "rules" | "program" | "addresses" | "everything-of-nft" | "network" | "ipv6";

interface Suspect {
	/** Name in /proc/PID/comm, at most 15 characters. */
	readonly program: string;
	readonly leaves: readonly Trace[];
	readonly how: string;
}

const SUSPECTS: readonly Suspect[] = [
	{
		program: "NetworkManager",
		leaves: ["addresses"],
		how: "NetworkManager is running; a profile for lo (since 1.42) removes addresses that it does not list",
	},
	{
		program: "systemd-network",
		leaves: ["addresses"],
		// Seen with 257 (Debian 13), and not with 252 (Debian 12).
		how: "systemd-networkd is running; with a .network file that matches lo, newer versions remove addresses that others have added (networkctl reload, netplan apply)",
	},
	{
		program: "keepalived",
		leaves: ["addresses"],
		how: "keepalived is running; it removes the addresses of its virtual_ipaddress blocks when it is not master",
	},
	{
		program: "ldirectord",
		leaves: ["addresses"],
		how: "ldirectord is running; it manages VIPs on lo",
	},
];

/** What is known without looking at processes. */
const BY_HAND: Readonly<Record<Trace, string>> = {
	"everything-of-nft":
		"nft flush ruleset deletes every table at once: /etc/nftables.conf begins with it, so a (re)start of nftables.service does this",
	network:
		"the addresses of this host have changed (DHCP, VRRP, an operator); a reload of l3dsr picks that up",
	ipv6: "sysctl: net.ipv6.conf.all.disable_ipv6, or that of lo",
	program:
		"an interface that was deleted and created again has no eBPF program (a restart of the network, of a bridge, bond or VLAN); tc and bpftool can remove one too",
	rules: "a manual command or a script: nft, tc, bpftool, iptables-daddr, dsrctl",
	addresses: "a manual command or a script: ip address, ifdown lo, netplan apply, dsrctl stop",
};

/** Sentences, the likeliest first. `running` holds names as /proc/PID/comm has them. */
export function suspectsFor(traces: ReadonlySet<Trace>, running: ReadonlySet<string>): string[] {
	const found = SUSPECTS.filter(
		({ program, leaves }) => running.has(program) && leaves.some((trace) => traces.has(trace)),
	);
	const order: readonly Trace[] = ["network", "ipv6", "everything-of-nft", "program", "rules", "addresses"];
	return [
		...found.map(({ how }) => how),
		...order.filter((trace) => traces.has(trace)).map((t) => BY_HAND[t]),
	];
}

/** Names of the processes in this network namespace (others cannot reach it), as /proc/PID/comm has them. */
export function runningPrograms(): Set<string> {
	const names = new Set<string>();
	const own = networkNamespace("self");
	for (const entry of readdirSync("/proc")) {
		if (!/^[0-9]+$/.test(entry)) continue;
		try {
			if (networkNamespace(entry) === own) names.add(readFileSync(`/proc/${entry}/comm`, "utf8").trim());
		} catch {
			// It has exited meanwhile.
		}
	}
	return names;
}

/**
 * A number for the network namespace of a process. Not from /proc/PID/ns/net, which is closed to a process with fewer
 * capabilities, as the unit of the agent has: each namespace has its own files below /proc/PID/net.
 */
function networkNamespace(process: string): number {
	return statSync(`/proc/${process}/net/dev`).ino;
}
