/** The next hops of real servers, from the kernel's routes and neighbours. Read again whenever these change. */
import {
	type IfIndex,
	listNeighbours,
	type Neighbour,
	type NetInterface,
	Netlink,
	resolveNeighbour,
} from "@l3dsr/linux";
import type { Address } from "@l3dsr/packet";
import { type Way, wayTo } from "../../host/way.ts";
import type { DirectorSettings } from "../../model/director.ts";
import { type Hop, UNRESOLVED } from "../tables/real-entry.ts";

const MAC_BYTES = 6;

export interface HopOptions {
	readonly forward: "resolved" | "kernel";
	/** Frames carry this VLAN tag. */
	readonly vlan?: number;
	/** Interfaces from which the program can send: those that it is attached to. */
	readonly interfaces: readonly NetInterface[];
	/** All interfaces of this namespace. */
	readonly all: readonly NetInterface[];
	/** Makes the kernel resolve neighbours that are unknown or not confirmed. */
	readonly asks: boolean;
}

/** Which part of the settings decides how frames are sent to the real servers. */
export function waysOf({
	hook,
	forward,
	vlan,
}: Pick<DirectorSettings, "hook" | "forward" | "vlan">): Pick<HopOptions, "forward" | "vlan"> {
	return { forward: hook === "tc" ? "kernel" : forward, ...(vlan === undefined ? {} : { vlan }) };
}

export interface ResolvedHops {
	readonly hopOf: (address: Address) => Hop;
	/** Addresses without a known neighbour; the kernel has been asked to resolve them. */
	readonly unresolved: readonly Address[];
	/** Addresses without a route. */
	readonly unreachable: readonly Address[];
}

/** Looks up the next hop of each address. With `asks`, neighbours in use stay known. Throws SyscallError. */
export function resolveHops(addresses: readonly Address[], options: HopOptions): ResolvedHops {
	using netlink = new Netlink();
	const neighbours = new Map(
		listNeighbours(undefined, netlink).map((one) => [neighbourKey(one.index, one.bytes), one] as const),
	);
	const hops = new Map<string, Hop>();
	const asked = new Set<string>();
	const unresolved: Address[] = [];
	const unreachable: Address[] = [];
	for (const address of addresses) {
		if (hops.has(address.text)) continue;
		const way = wayTo(address, netlink);
		if (way.to !== "link") {
			unreachable.push(address);
			hops.set(address.text, UNRESOLVED);
			continue;
		}
		const key = neighbourKey(way.index, way.gateway);
		const neighbour = neighbours.get(key);
		const out = options.all.find(({ index }) => index === way.index);
		const hop = hopOf(way, out, neighbour, options);
		if (options.asks && !isFresh(neighbour) && out?.ethernet === true && !asked.has(key)) {
			asked.add(key);
			resolveNeighbour({ index: way.index, bytes: way.gateway }, netlink);
		}
		if (hop.to === "unresolved") unresolved.push(address);
		hops.set(address.text, hop);
	}
	return { hopOf: ({ text }) => hops.get(text) ?? UNRESOLVED, unresolved, unreachable };
}

const FRESH: ReadonlySet<string> = new Set(["reachable", "noarp", "permanent"]);
/** Neighbour states in which the kernel uses the known address. */
const USABLE: ReadonlySet<string> = new Set([...FRESH, "stale", "delay", "probe"]);

/** A neighbour in any other state is not confirmed, and the kernel is asked to resolve it. */
function isFresh(neighbour: Neighbour | undefined): boolean {
	return neighbour !== undefined && FRESH.has(neighbour.state);
}

function hopOf(
	route: Extract<Way, { to: "link" }>,
	out: NetInterface | undefined,
	neighbour: Neighbour | undefined,
	{ forward, vlan, interfaces }: HopOptions,
): Hop {
	if (out === undefined) return UNRESOLVED;
	const mtu = Math.min(route.mtu ?? out.mtu, out.mtu);
	if (forward === "kernel") return { to: "kernel", mtu };
	// With a tag, the route must use a VLAN device of that number on one of our interfaces; without one, one of our
	// interfaces.
	const index = vlan === undefined ? out.index : out.vlanId === vlan ? out.linkedTo : undefined;
	const sender = interfaces.find((one) => one.index === index);
	if (sender?.linkAddress.length !== MAC_BYTES) return { to: "kernel", mtu };
	if (neighbour?.linkAddress?.length !== MAC_BYTES || !USABLE.has(neighbour.state)) return UNRESOLVED;
	return {
		to: "interface",
		ifindex: sender.index,
		nextHop: neighbour.linkAddress,
		ownMac: sender.linkAddress,
		mtu: Math.min(mtu, sender.mtu),
	};
}

function neighbourKey(index: IfIndex, address: Uint8Array): string {
	return `${index} ${Buffer.from(address).toString("hex")}`;
}

export function sameHop(a: Hop, b: Hop): boolean {
	if (a.to !== b.to) return false;
	if (a.to === "interface" && b.to === "interface") {
		const sameMacs = Buffer.compare(a.nextHop, b.nextHop) === 0 && Buffer.compare(a.ownMac, b.ownMac) === 0;
		return sameMacs && a.ifindex === b.ifindex && a.mtu === b.mtu;
	}
	return a.to === "unresolved" || (a.to === "kernel" && b.to === "kernel" && a.mtu === b.mtu);
}
