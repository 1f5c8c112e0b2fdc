/** What `l3dsr check` looks at, gathered once: the checks (checks/) judge it without touching the host. */

import { readFileSync } from "node:fs";
import {
	driverOf,
	listInterfaces,
	listRoutes,
	type NetInterface,
	type Offloads,
	offloadsOf,
	ROUTE_TABLE,
} from "@l3dsr/linux";
import { Nftables, NftablesError, type Snapshot } from "@l3dsr/nftables";
import { type Address, addressFromBytes, type Family } from "@l3dsr/packet";
import type { AddressedInterface } from "./addresses.ts";
import { type ForeignRules, findForeignRules } from "./foreign-rules.ts";

export interface Listener {
	readonly protocol: "tcp" | "udp";
	readonly address: Address;
	readonly port: number;
}

export interface InterfaceFacts extends AddressedInterface {
	/** Effective reverse-path filter for IPv4: 0 off, 1 strict, 2 loose. */
	readonly rpFilter: number;
	/** Kind of a virtual device (veth, bridge, vlan), or the driver of a card. */
	readonly driver?: string;
	/** Absent where they cannot be told. */
	readonly offloads?: Offloads;
}

export interface HostFacts extends ForeignRules {
	readonly interfaces: readonly InterfaceFacts[];
	/** Interfaces that a default route leaves by. */
	readonly defaultRoutes: readonly { readonly family: Family; readonly interface: string }[];
	/** Loaded modules, and how many users each has: rules, for a target of iptables. */
	readonly modules: ReadonlyMap<string, number>;
	/** Connections tracked in this namespace; undefined where connection tracking is not loaded. */
	readonly trackedConnections?: number;
	readonly listeners: readonly Listener[];
}

/** Reads this network namespace. Throws the errors of the libraries. */
export function gatherFacts(interfaces: readonly AddressedInterface[]): HostFacts {
	const links = listInterfaces();
	const kinds = new Map(links.map(({ name, kind }) => [name, kind]));
	const tracked = readNumber("/proc/sys/net/netfilter/nf_conntrack_count");
	return {
		interfaces: interfaces.map((one) => ({ ...one, ...interfaceFacts(one.name, kinds.get(one.name)) })),
		defaultRoutes: defaultRoutes(links),
		modules: decodeModules(readText("/proc/modules")),
		...(tracked === undefined ? {} : { trackedConnections: tracked }),
		listeners: [
			...decodeSockets(readText("/proc/net/tcp"), "tcp"),
			...decodeSockets(readText("/proc/net/tcp6"), "tcp"),
			...decodeSockets(readText("/proc/net/udp"), "udp"),
			...decodeSockets(readText("/proc/net/udp6"), "udp"),
		],
		...findForeignRules(readRuleset()),
	};
}

/** Everything in nf_tables; nothing where the kernel has none, or does not show it without root. */
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

function interfaceFacts(
	name: string,
	kind: string | undefined,
): Pick<InterfaceFacts, "rpFilter" | "driver" | "offloads"> {
	const filter = (of: string) => readNumber(`/proc/sys/net/ipv4/conf/${of}/rp_filter`) ?? 0;
	// The kernel takes the greater of the two (ip-sysctl: rp_filter).
	const rpFilter = Math.max(filter("all"), filter(name));
	const driver = kind ?? driverOf(name);
	const offloads = readOffloads(name);
	return {
		rpFilter,
		...(driver === undefined ? {} : { driver }),
		...(offloads === undefined ? {} : { offloads }),
	};
}

function readOffloads(name: string): Offloads | undefined {
	try {
		return offloadsOf(name);
	} catch {
		return undefined; // the device has none, or is gone
	}
}

/** Of the main table. */
function defaultRoutes(links: readonly NetInterface[]): HostFacts["defaultRoutes"] {
	const names = new Map(links.map(({ index, name }) => [index, name]));
	return listRoutes({ table: ROUTE_TABLE.main, type: "unicast" })
		.filter(({ destination }) => destination.length === 0)
		.flatMap(({ destination, nextHops }) =>
			nextHops.flatMap(({ index }) => {
				const name = index === undefined ? undefined : names.get(index);
				const family = destination.bytes.length === 4 ? "ipv4" : "ipv6";
				return name === undefined ? [] : [{ family, interface: name } as const];
			}),
		);
}

/** Of /proc/modules: `xt_DADDR 16384 2 - Live 0x…`. */
export function decodeModules(text: string): Map<string, number> {
	return new Map(
		text.split("\n").flatMap((line) => {
			const [name, , users] = line.split(" ");
			return name === undefined || users === undefined ? [] : [[name, Number(users)] as const];
		}),
	);
}

/** Of /proc/net/tcp and its like: sockets that wait for packets from anybody. */
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
