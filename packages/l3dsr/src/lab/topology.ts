/**
 * The lab's hosts as network namespaces: made, wired and routed by a dozen short runs of ip(8), and taken
 * away whole. No process of the lab runs in them yet (see lab.ts).
 */
import { existsSync, rmSync } from "node:fs";
import { L3dsrError } from "../errors.ts";
import { type AddressChange, changeLoopbackAddresses } from "../host/addresses.ts";
import { hostLockPath } from "../host/lock.ts";
import {
	commandInNamespace,
	createNamespaces,
	deleteNamespaces,
	listNamespaces,
	namespacePath,
} from "../host/netns.ts";
import type { ProgramRunner } from "../host/process.ts";
import { clientRuleset, directorRuleset } from "./director.ts";
import {
	FAMILIES,
	HOSTS,
	type Host,
	hostBatch,
	LINKS,
	linkBatch,
	namespaceOf,
	REAL_SERVERS,
	VIPS,
} from "./layout.ts";

export interface Topology {
	/** Prefix of its namespaces' names. */
	readonly name: string;
	readonly namespaces: Readonly<Record<Host, string>>;
}

/**
 * Builds the lab `name`: namespaces, links, routes, VIPs on the real servers' loopbacks, and the director;
 * everything but the rules on the real servers. Throws LAB_EXISTS, KERNEL_PERMISSION, PROGRAM_*; what was
 * built by then is taken away again.
 */
export async function buildTopology(programs: ProgramRunner, name: string): Promise<Topology> {
	const topology = topologyOf(name);
	if (namespacesOf(name).length > 0) {
		throw new L3dsrError({
			code: "LAB_EXISTS",
			message: `build lab ${name}: its network namespaces are there already`,
			hint: `l3dsr lab --down ${name} takes it away`,
		});
	}
	if (!existsSync("/proc/sys/net/ipv6")) {
		throw new L3dsrError({
			code: "KERNEL_FEATURE",
			message: `build lab ${name}: this kernel runs without IPv6, and half of what the lab shows is IPv6`,
			hint: "boot without ipv6.disable=1",
		});
	}
	try {
		await createNamespaces(programs, Object.values(topology.namespaces));
		await Promise.all(HOSTS.map((host) => inHost(programs, topology, host, ["sh", "-c", SYSCTLS], "")));
		await ip(programs, ["-batch", "-"], linkBatch(name), "wire the hosts");
		await Promise.all(
			HOSTS.map((host) =>
				ip(programs, ["-n", topology.namespaces[host], "-batch", "-"], hostBatch(host), `set up ${host}`),
			),
		);
		await Promise.all([
			...REAL_SERVERS.map((server) =>
				changeLoopbackAddresses(programs, vipChanges(), { namespace: topology.namespaces[server] }),
			),
			inHost(programs, topology, "director", ["nft", "-f", "-"], directorRuleset(FAMILIES)),
			inHost(programs, topology, "client", ["nft", "-f", "-"], clientRuleset(FAMILIES)),
			...HOSTS.map((host) => linksAreUp(programs, topology, host)),
		]);
	} catch (error) {
		await destroyTopology(programs, name).catch(() => {}); // the first failure is the one to tell
		throw error;
	}
	return topology;
}

/**
 * Takes away every namespace of the lab `name` that is there, and the lock files that commands have left for
 * them. Throws PROGRAM_FAILED.
 */
export async function destroyTopology(programs: ProgramRunner, name: string): Promise<void> {
	const namespaces = namespacesOf(name);
	const locks = namespaces.map((namespace) => hostLockPath("/run", namespacePath(namespace)));
	await deleteNamespaces(programs, namespaces);
	for (const lock of locks) rmSync(lock, { force: true });
}

/** Has the client compute every checksum itself, so that its packets travel as over a real cable. */
export async function completeChecksums(programs: ProgramRunner, topology: Topology): Promise<void> {
	for (const { device } of LINKS.filter(({ host }) => host === "client")) {
		await inHost(programs, topology, "client", ["ethtool", "-K", device, "tx", "off"], "");
	}
}

/** The topology of that name, whether or not it has been built. */
export function topologyOf(name: string): Topology {
	const [client, router, director, real1, real2] = HOSTS.map((host) => namespaceOf(name, host));
	if (!client || !router || !director || !real1 || !real2) throw new RangeError("a lab has five hosts");
	return { name, namespaces: { client, router, director, real1, real2 } };
}

/** Those of the lab's namespaces that exist. */
export function namespacesOf(name: string): string[] {
	const own = new Set(Object.values(topologyOf(name).namespaces));
	return listNamespaces().filter((namespace) => own.has(namespace));
}

/**
 * Runs a program on a host of the lab and returns its output. Throws PROGRAM_FAILED, which calls it `what`, with its
 * first line of complaint.
 */
export async function inHost(
	programs: ProgramRunner,
	topology: Topology,
	host: Host,
	command: readonly string[],
	input: string,
	what: string = command.slice(0, 2).join(" "),
): Promise<string> {
	const [program = "ip", ...args] = commandInNamespace(topology.namespaces[host], command);
	const { exitCode, stdout, stderr } = await programs.run(program, args, { input });
	if (exitCode === 0) return stdout;
	throw new L3dsrError({
		code: "PROGRAM_FAILED",
		message: `run ${what} on ${host}: ${stderr.trim().split("\n")[0] ?? `exit code ${exitCode}`}`,
	});
}

/**
 * Set before the links exist, so that they are born with it. A new namespace takes over the IPv4 settings
 * of the machine: state all that matter. Routes here are asymmetric by design (rp_filter), and an IPv6
 * address that waits for duplicate detection answers nothing for a second (accept_dad).
 */
const SYSCTLS = `
set -e
cd /proc/sys/net
for f in ipv4/conf/all/forwarding ipv6/conf/all/forwarding; do echo 1 >$f; done
for f in ipv4/conf/*/rp_filter ipv6/conf/*/accept_dad ipv6/conf/*/dad_transmits; do echo 0 >$f; done
`;

/** A link whose carrier has not been noticed yet swallows what is sent on it. */
async function linksAreUp(programs: ProgramRunner, topology: Topology, host: Host): Promise<void> {
	const deadline = performance.now() + LINK_UP_WITHIN_MS;
	for (;;) {
		const links = await inHost(programs, topology, host, ["ip", "-br", "link", "show", "type", "veth"], "");
		if (!/ (DOWN|LOWERLAYERDOWN) /.test(links)) return;
		if (performance.now() > deadline) {
			throw new L3dsrError({
				code: "PROGRAM_FAILED",
				message: `build lab ${topology.name}: a link of ${host} is not up after ${LINK_UP_WITHIN_MS} ms: ${links.trim()}`,
			});
		}
	}
}

const LINK_UP_WITHIN_MS = 5000;

function vipChanges(): AddressChange[] {
	return VIPS.map(({ vip }, index) => ({ kind: "add", address: vip, label: `lo:${index + 1}` }));
}

async function ip(
	programs: ProgramRunner,
	args: readonly string[],
	input: string,
	what: string,
): Promise<void> {
	const { exitCode, stderr } = await programs.run("ip", args, { input });
	if (exitCode === 0) return;
	throw new L3dsrError({
		code: "PROGRAM_FAILED",
		message: `${what}: ip: ${stderr.trim().split("\n")[0] ?? `exit code ${exitCode}`}`,
	});
}
