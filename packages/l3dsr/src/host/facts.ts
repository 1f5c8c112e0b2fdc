/** What `l3dsr check` looks at, gathered once: the checks (checks/) judge it without touching the host. */

import { readFileSync } from "node:fs";
import {
	driverOf,
	LinuxError,
	listInterfaces,
	listIpv6OnlySockets,
	listLegacyTables,
	type Offloads,
	offloadsOf,
	readLegacyTable,
} from "@l3dsr/linux";
import { Nftables, NftablesError, type Snapshot, type TableContents } from "@l3dsr/nftables";
import { type Address, addressFromBytes, isUnspecified } from "@l3dsr/packet";
import type { AddressedInterface } from "./addresses.ts";
import { type ForeignRules, findForeignRules } from "./foreign-rules.ts";
import { tableOfLegacy } from "./legacy-rules.ts";
import { type AskedVip, gatherRouteFacts, type RouteFacts } from "./route-facts.ts";

export interface Listener {
	readonly protocol: "tcp" | "udp";
	readonly address: Address;
	readonly port: number;
	/** On `::`: it does not accept IPv4. */
	readonly ipv6Only?: true;
}

export interface InterfaceFacts extends AddressedInterface {
	/** Effective reverse-path filter for IPv4: 0 off, 1 strict, 2 loose. */
	readonly rpFilter: number;
	/** Effective arp_ignore: from 1 on, ARP answers only for addresses of the interface itself, from 8 on for none. */
	readonly arpIgnore: number;
	/** Kind of a virtual device (veth, bridge, vlan), or the driver of a card. */
	readonly driver?: string;
	/** Absent if unknown. */
	readonly offloads?: Offloads;
}

export interface HostFacts extends ForeignRules {
	readonly interfaces: readonly InterfaceFacts[];
	readonly routes: RouteFacts;
	/** Packets that reverse path filtering (rp_filter) has dropped in this namespace, of any kind. */
	readonly reversePathDrops: number;
	/** Tables of iptables-legacy (`ip filter`) whose rules could not be read. */
	readonly legacyTables: readonly string[];
	/** Loaded modules, and how many users each has: rules, for a target of iptables. */
	readonly modules: ReadonlyMap<string, number>;
	/** Connections tracked in this namespace; undefined if connection tracking is not loaded. */
	readonly trackedConnections?: number;
	readonly listeners: readonly Listener[];
}

/** Reads this network namespace. Throws the errors of the libraries. */
export function gatherFacts(interfaces: readonly AddressedInterface[], vips: readonly AskedVip[]): HostFacts {
	const links = listInterfaces();
	const kinds = new Map(links.map(({ name, kind }) => [name, kind]));
	const legacy = readLegacyTables();
	const tracked = readNumber("/proc/sys/net/netfilter/nf_conntrack_count");
	return {
		interfaces: interfaces.map((one) => ({ ...one, ...interfaceFacts(one.name, kinds.get(one.name)) })),
		routes: gatherRouteFacts(vips, interfaces),
		reversePathDrops: decodeCounter(readText("/proc/net/netstat"), "TcpExt:", "IPReversePathFilter"),
		legacyTables: legacy.unread,
		modules: decodeModules(readText("/proc/modules")),
		...(tracked === undefined ? {} : { trackedConnections: tracked }),
		listeners: [...listenersOf("tcp"), ...listenersOf("udp")],
		...findForeignRules([...readRuleset(), ...legacy.tables]),
	};
}

/** Everything in nf_tables; empty if the kernel has none, or does not show it without root. */
function readRuleset(): Snapshot["tables"] {
	try {
		using nftables = new Nftables();
		return nftables.read(undefined, { elements: "verdicts" }).tables;
	} catch (error) {
		const hidden =
			error instanceof NftablesError && (error.code === "UNSUPPORTED" || error.code === "PERMISSION");
		if (hidden) return [];
		throw error;
	}
}

/** Everything in iptables-legacy, and the tables (`ip filter`) that the kernel does not show to this process. */
function readLegacyTables(): { readonly tables: Snapshot["tables"]; readonly unread: string[] } {
	const tables: TableContents[] = [];
	const unread: string[] = [];
	for (const family of ["ipv4", "ipv6"] as const) {
		for (const name of listLegacyTables(family)) {
			try {
				tables.push(tableOfLegacy(readLegacyTable(family, name)));
			} catch (error) {
				if (!(error instanceof LinuxError)) throw error;
				unread.push(`${family === "ipv4" ? "ip" : "ip6"} ${name}`);
			}
		}
	}
	return { tables, unread };
}

function interfaceFacts(
	name: string,
	kind: string | undefined,
): Pick<InterfaceFacts, "rpFilter" | "arpIgnore" | "driver" | "offloads"> {
	// The kernel takes the greater of the two (ip-sysctl: rp_filter, arp_ignore).
	const effective = (sysctl: string) =>
		Math.max(...["all", name].map((of) => readNumber(`/proc/sys/net/ipv4/conf/${of}/${sysctl}`) ?? 0));
	const driver = kind ?? driverOf(name);
	const offloads = readOffloads(name);
	return {
		rpFilter: effective("rp_filter"),
		arpIgnore: effective("arp_ignore"),
		...(driver === undefined ? {} : { driver }),
		...(offloads === undefined ? {} : { offloads }),
	};
}

function readOffloads(name: string): Offloads | undefined {
	try {
		return offloadsOf(name);
	} catch {
		return undefined; // the device has no driver, or is gone
	}
}

/** Reads a counter of /proc/net/netstat: a line of names and a line of values begin with the same word. */
function decodeCounter(text: string, group: string, name: string): number {
	const [names, values] = text
		.split("\n")
		.filter((line) => line.startsWith(group))
		.map((line) => line.split(" "));
	return Number(values?.[names?.indexOf(name) ?? -1] ?? 0);
}

/** Reads /proc/modules: `xt_DADDR 16384 2 - Live 0x…`. */
function decodeModules(text: string): Map<string, number> {
	return new Map(
		text.split("\n").flatMap((line) => {
			const [name, , users] = line.split(" ");
			return name === undefined || users === undefined ? [] : [[name, Number(users)] as const];
		}),
	);
}

function listenersOf(protocol: "tcp" | "udp"): Listener[] {
	const ipv4 = decodeSockets(readText(`/proc/net/${protocol}`), protocol);
	const ipv6 = decodeSockets(readText(`/proc/net/${protocol}6`), protocol);
	if (!ipv6.some(({ address }) => isUnspecified(address))) return [...ipv4, ...ipv6];
	// The files of /proc do not show this.
	const only = new Set(
		listIpv6OnlySockets(protocol).map(({ address, port }) => `${addressFromBytes(address).text} ${port}`),
	);
	return [
		...ipv4,
		...ipv6.map((one) =>
			only.has(`${one.address.text} ${one.port}`) ? { ...one, ipv6Only: true as const } : one,
		),
	];
}

/** From /proc/net/tcp and similar files: sockets that accept packets from any address. */
export function decodeSockets(text: string, protocol: "tcp" | "udp"): Listener[] {
	const TCP_LISTEN = "0A";
	const UDP_UNCONNECTED = "07";
	return text
		.split("\n")
		.slice(1)
		.flatMap((line) => {
			const [, local = "", , state] = line.trim().split(/\s+/);
			const [hex = "", port = ""] = local.split(":");
			if (state !== (protocol === "tcp" ? TCP_LISTEN : UDP_UNCONNECTED)) return [];
			if (hex.length !== 8 && hex.length !== 32) return [];
			// Words of 32 bits in the byte order of the host, which is little-endian wherever l3dsr runs.
			const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) =>
				(word.match(/../g) ?? []).reverse().map((byte) => Number.parseInt(byte, 16)),
			);
			return [{ protocol, address: addressFromBytes(bytes), port: Number.parseInt(port, 16) }];
		});
}

function readText(path: string): string {
	try {
		return readFileSync(path, "utf8");
	} catch {
		return "";
	}
}

function readNumber(path: string): number | undefined {
	const text = readText(path).trim();
	return text === "" ? undefined : Number(text);
}
