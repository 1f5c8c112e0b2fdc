/**
 * The lab's hosts as network namespaces: created, connected and routed by rtnetlink, and removed as a whole. No
 * process of the lab runs in them yet (see lab.ts).
 */
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import {
	addAddress,
	addRoute,
	changeLink,
	createLink,
	createNamedNamespace,
	deleteNamedNamespace,
	interfaceByName,
	listInterfaces,
	listNamedNamespaces,
	NetworkNamespace,
	namedNamespacePath,
	setTransmitChecksums,
} from "@l3dsr/linux";
import { type Command, Nftables } from "@l3dsr/nftables";
import { addressBits } from "@l3dsr/packet";
import { L3dsrError } from "../errors.ts";
import { type AddressChange, changeLoopbackAddresses } from "../host/addresses.ts";
import { hostLockPath } from "../host/lock.ts";
import { clientRuleset } from "./director.ts";
import { type LabProgram, runToEnd } from "./host-program.ts";
import {
	addressesOf,
	FAMILIES,
	HOSTS,
	type Host,
	type LabRoute,
	LINKS,
	namespaceOf,
	REAL_SERVERS,
	routesOf,
	VIPS,
} from "./layout.ts";

export interface Topology {
	/** Prefix of the namespaces' names. */
	readonly name: string;
	readonly namespaces: Readonly<Record<Host, string>>;
}

/**
 * Builds the lab `name`: namespaces, links, routes and the VIPs on the real servers' loopbacks; everything except the
 * directors' tables and the rules on the real servers. Throws LAB_EXISTS, KERNEL_FEATURE, LinuxError and
 * NftablesError, and removes what it has built.
 */
export function buildTopology(name: string): Topology {
	const topology = topologyOf(name);
	if (namespacesOf(name).length > 0) {
		throw new L3dsrError({
			code: "LAB_EXISTS",
			message: `build lab ${name}: its network namespaces exist already`,
			hint: `l3dsr lab --down ${name} removes it`,
		});
	}
	if (!existsSync("/proc/sys/net/ipv6")) {
		throw new L3dsrError({
			code: "KERNEL_FEATURE",
			message: `build lab ${name}: this kernel runs without IPv6, which half of the lab needs`,
			hint: "boot without ipv6.disable=1",
		});
	}
	try {
		for (const namespace of Object.values(topology.namespaces)) {
			using created = createNamedNamespace(namespace);
			created.within(setSysctls);
		}
		wire(topology);
		for (const host of HOSTS) onHost(topology, host, () => setUp(host));
		for (const server of REAL_SERVERS) onHost(topology, server, () => changeLoopbackAddresses(vipChanges()));
		setRules(topology, "client", clientRuleset(FAMILIES));
		for (const host of HOSTS) onHost(topology, host, () => waitForCarriers(name, host));
	} catch (error) {
		try {
			destroyTopology(name);
		} catch {
			// Report the first failure.
		}
		throw error;
	}
	return topology;
}

/**
 * Removes every existing namespace of the lab `name`, and the lock files that commands have left for them. Continues
 * if one cannot be deleted, and throws LinuxError at the end.
 */
export function destroyTopology(name: string): void {
	const failures: unknown[] = [];
	for (const namespace of namespacesOf(name)) {
		try {
			const lock = hostLockPath("/run", namedNamespacePath(namespace));
			deleteNamedNamespace(namespace);
			rmSync(lock, { force: true });
		} catch (error) {
			failures.push(error);
		}
	}
	rmSync(directorFolder(name), { recursive: true, force: true });
	if (failures.length > 0) throw failures[0];
}

/** Makes the client compute every checksum itself, so that its packets look as on a real cable. */
export function completeChecksums(topology: Topology): void {
	onHost(topology, "client", () => {
		for (const { device } of LINKS.filter(({ host }) => host === "client"))
			setTransmitChecksums(device, false);
	});
}

/** The topology of that name, whether it has been built or not. */
export function topologyOf(name: string): Topology {
	const of = (host: Host) => namespaceOf(name, host);
	return {
		name,
		namespaces: {
			client: of("client"),
			router: of("router"),
			director: of("director"),
			director2: of("director2"),
			real1: of("real1"),
			real2: of("real2"),
		},
	};
}

/** The existing namespaces of the lab. */
export function namespacesOf(name: string): string[] {
	const own = new Set(Object.values(topologyOf(name).namespaces));
	return listNamedNamespaces().filter((namespace) => own.has(namespace));
}

/** The folder with the files of the lab's directors. */
export function directorFolder(name: string): string {
	return `/run/${name}`;
}

/** Runs `work`, which must be synchronous, in the network namespace of a host. */
function onHost<T>(topology: Topology, host: Host, work: () => T): T {
	using namespace = NetworkNamespace.open(namedNamespacePath(topology.namespaces[host]));
	return namespace.within(work);
}

/** Runs nf_tables commands on a host. */
export function setRules(topology: Topology, host: Host, commands: readonly Command[]): void {
	using nftables = onHost(topology, host, () => new Nftables());
	nftables.transact(commands);
}

/**
 * Runs a program on a host of the lab and returns its output. Throws PROGRAM_FAILED, with `what` as its name and the
 * first line of its error output.
 */
export async function inHost(
	topology: Topology,
	host: Host,
	program: LabProgram & { readonly what?: string },
): Promise<string> {
	const { exitCode, stdout, stderr } = await runToEnd(topology.namespaces[host], program);
	if (exitCode === 0) return stdout;
	const what = program.what ?? program.command.slice(0, 2).join(" ");
	throw new L3dsrError({
		code: "PROGRAM_FAILED",
		message: `run ${what} on ${host}: ${stderr.trim().split("\n")[0] ?? `exit code ${exitCode}`}`,
	});
}

/**
 * Set before the links exist, so that they start with it. A new namespace inherits the machine's IPv4 settings, so
 * set all that matter. Equal-cost routes are chosen by ports too (fib_multipath_hash_policy). Routes here are
 * asymmetric by design (rp_filter), and an IPv6 address in duplicate address detection does not answer for a second
 * (accept_dad).
 */
function setSysctls(): void {
	const folders = (family: string) =>
		readdirSync(`/proc/sys/net/${family}/conf`).map((name) => `/proc/sys/net/${family}/conf/${name}`);
	for (const family of ["ipv4", "ipv6"]) {
		writeFileSync(`/proc/sys/net/${family}/conf/all/forwarding`, "1");
		writeFileSync(`/proc/sys/net/${family}/fib_multipath_hash_policy`, "1");
	}
	for (const folder of folders("ipv4")) writeFileSync(`${folder}/rp_filter`, "0");
	for (const folder of folders("ipv6")) {
		for (const name of ["accept_dad", "dad_transmits"]) writeFileSync(`${folder}/${name}`, "0");
	}
}

function wire({ namespaces }: Topology): void {
	using router = NetworkNamespace.open(namedNamespacePath(namespaces.router));
	for (const { host, device, routerDevice, subnet } of LINKS) {
		using namespace = NetworkNamespace.open(namedNamespacePath(namespaces[host]));
		const peer = { name: routerDevice, namespace: router };
		createLink({ kind: "veth", name: device, index: 100 + subnet, namespace, peer });
	}
}

/** Sets addresses and routes, and brings links up. */
function setUp(host: Host): void {
	changeLink(interfaceByName("lo").index, { up: true });
	for (const { device, address, length } of addressesOf(host)) {
		const { index } = interfaceByName(device);
		addAddress({ index, bytes: address.bytes, prefixLength: length, noDad: true });
		changeLink(index, { up: true });
	}
	for (const route of routesOf(host)) addLabRoute(route);
}

function addLabRoute({ destination, ways }: LabRoute): void {
	const [first] = ways;
	if (first === undefined) throw new RangeError("a route without a way");
	const bits = addressBits(first.gateway.family);
	addRoute({
		destination:
			destination === undefined
				? { bytes: new Uint8Array(bits / 8), length: 0 }
				: { bytes: destination.bytes, length: bits },
		nextHops: ways.map(({ gateway, device }) => ({
			gateway: gateway.bytes,
			index: interfaceByName(device).index,
		})),
	});
}

/** A link whose carrier the kernel has not noticed yet drops what is sent on it. */
function waitForCarriers(lab: string, host: Host): void {
	const deadline = performance.now() + LINK_UP_WITHIN_MS;
	for (;;) {
		const waiting = listInterfaces().filter(({ kind, carrier, up }) => kind === "veth" && !(up && carrier));
		if (waiting.length === 0) return;
		if (performance.now() > deadline) {
			throw new L3dsrError({
				code: "KERNEL_SYSCALL",
				message: `build lab ${lab}: ${waiting[0]?.name} of ${host} has no carrier after ${LINK_UP_WITHIN_MS} ms`,
			});
		}
	}
}

const LINK_UP_WITHIN_MS = 5000;

function vipChanges(): AddressChange[] {
	return VIPS.map(({ vip }, index) => ({ kind: "add", address: vip, label: `lo:${index + 1}` }));
}
