/** What `l3dsr check` looks at, gathered once: the checks (checks/) judge it without touching the host. */
import { readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { type Address, addressFromBytes, type Family } from "../model/address.ts";
import { listInterfaces } from "../sys/interface.ts";
import { type Offloads, offloadsOf } from "../sys/offload.ts";
import type { AddressedInterface } from "./addresses.ts";
import type { ProgramRunner } from "./process.ts";

export interface Listener {
	readonly protocol: "tcp" | "udp";
	readonly address: Address;
	readonly port: number;
}

/** A rule of somebody else's that writes DSCP. */
export interface DscpWriter {
	/** `table ip mangle, chain PREROUTING`. */
	readonly place: string;
	readonly hook: string;
	/** Netfilter priority; smaller runs earlier. */
	readonly priority: number;
	/** What it writes, where that can be told. */
	readonly value?: number;
}

export interface InterfaceFacts extends AddressedInterface {
	/** Effective reverse-path filter for IPv4: 0 off, 1 strict, 2 loose. */
	readonly rpFilter: number;
	/** Kind of a virtual device (veth, bridge, vlan), or the driver of a card. */
	readonly driver?: string;
	/** Absent where they cannot be told. */
	readonly offloads?: Offloads;
}

export interface HostFacts {
	readonly interfaces: readonly InterfaceFacts[];
	/** Interfaces that a default route leaves by. */
	readonly defaultRoutes: readonly { readonly family: Family; readonly interface: string }[];
	/** Names of loaded modules. */
	readonly modules: ReadonlySet<string>;
	/** Connections tracked in this namespace; undefined where connection tracking is not loaded. */
	readonly trackedConnections?: number;
	readonly listeners: readonly Listener[];
	readonly dscpWriters: readonly DscpWriter[];
	/** Places of iptables rules with the old module's target. */
	readonly moduleRules: readonly string[];
}

/** Reads this network namespace. Throws PROGRAM_MISSING. */
export async function gatherFacts(
	programs: ProgramRunner,
	interfaces: readonly AddressedInterface[],
): Promise<HostFacts> {
	const [routes4, routes6, ruleset] = await Promise.all([
		programs.run("ip", ["-j", "-4", "route", "show", "default"]),
		programs.run("ip", ["-j", "-6", "route", "show", "default"]),
		programs.run("nft", ["-n", "-j", "list", "ruleset"]),
	]);
	const kinds = new Map(listInterfaces().map(({ name, kind }) => [name, kind]));
	const tracked = readNumber("/proc/sys/net/netfilter/nf_conntrack_count");
	return {
		interfaces: interfaces.map((one) => ({ ...one, ...interfaceFacts(one.name, kinds.get(one.name)) })),
		defaultRoutes: [
			...routeInterfaces(routes4.stdout).map((name) => ({ family: "ipv4", interface: name }) as const),
			...routeInterfaces(routes6.stdout).map((name) => ({ family: "ipv6", interface: name }) as const),
		],
		modules: new Set(
			readText("/proc/modules")
				.split("\n")
				.map((line) => line.split(" ")[0] ?? ""),
		),
		...(tracked === undefined ? {} : { trackedConnections: tracked }),
		listeners: [
			...decodeSockets(readText("/proc/net/tcp"), "tcp"),
			...decodeSockets(readText("/proc/net/tcp6"), "tcp"),
			...decodeSockets(readText("/proc/net/udp"), "udp"),
			...decodeSockets(readText("/proc/net/udp6"), "udp"),
		],
		...decodeRuleset(ruleset.stdout),
	};
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

function driverOf(name: string): string | undefined {
	try {
		return basename(readlinkSync(`/sys/class/net/${name}/device/driver`));
	} catch {
		return undefined;
	}
}

function readOffloads(name: string): Offloads | undefined {
	try {
		return offloadsOf(name);
	} catch {
		return undefined; // the device has none, or is gone
	}
}

/** Of `ip -j route show`. */
function routeInterfaces(json: string): string[] {
	const routes: unknown = json.trim() === "" ? [] : JSON.parse(json);
	return listOf(routes).flatMap((route) => {
		const own = fieldOf(route, "dev");
		const hops = listOf(fieldOf(route, "nexthops")).map((hop) => fieldOf(hop, "dev"));
		return [own, ...hops].filter((name) => typeof name === "string");
	});
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

/** Of `nft -n -j list ruleset`: who else writes DSCP, and rules of the old module. */
export function decodeRuleset(json: string): Pick<HostFacts, "dscpWriters" | "moduleRules"> {
	const entries = json.trim() === "" ? [] : listOf(fieldOf(JSON.parse(json), "nftables"));
	const chains = new Map<string, { hook: string; priority: number }>();
	for (const entry of entries) {
		const chain = fieldOf(entry, "chain");
		if (chain === undefined) continue;
		chains.set(placeOf(chain, "name"), {
			hook: String(fieldOf(chain, "hook") ?? ""),
			priority: Number(fieldOf(chain, "prio") ?? 0),
		});
	}
	const dscpWriters: DscpWriter[] = [];
	const moduleRules: string[] = [];
	for (const entry of entries) {
		const rule = fieldOf(entry, "rule");
		if (rule === undefined || fieldOf(rule, "table") === "l3dsr") continue;
		const place = placeOf(rule, "chain");
		for (const statement of listOf(fieldOf(rule, "expr"))) {
			const target = fieldOf(fieldOf(statement, "xt"), "name");
			if (target === "DADDR") moduleRules.push(place);
			const mangle = fieldOf(statement, "mangle");
			const writes = fieldOf(fieldOf(fieldOf(mangle, "key"), "payload"), "field") === "dscp";
			if (!writes && target !== "DSCP" && target !== "TOS") continue;
			const value = fieldOf(mangle, "value");
			const { hook, priority } = chains.get(place) ?? { hook: "", priority: 0 };
			dscpWriters.push({ place, hook, priority, ...(typeof value === "number" ? { value } : {}) });
		}
	}
	return { dscpWriters, moduleRules };
}

function placeOf(object: unknown, chainField: "name" | "chain"): string {
	const [family, table, chain] = ["family", "table", chainField].map((name) => String(fieldOf(object, name)));
	return `table ${family} ${table}, chain ${chain}`;
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

function listOf(value: unknown): unknown[] {
	return Array.isArray(value) ? value : [];
}

function fieldOf(value: unknown, name: string): unknown {
	return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
