/** Where frames for real servers go, as the kernel's routes and neighbours say. Read again whenever these change. */
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
	/** Frames carry this tag. */
	readonly vlan?: number;
	/** Interfaces at which the program can send: those that it is attached to. */
	readonly interfaces: readonly NetInterface[];
	/** All of this namespace. */
	readonly all: readonly NetInterface[];
	/** The kernel is asked to look for neighbours that it does not know, or is not sure of. */
	readonly asks: boolean;
}

/** What the settings say of how frames go on to the real servers. */
export function waysOf({
	hook,
	forward,
	vlan,
}: Pick<DirectorSettings, "hook" | "forward" | "vlan">): Pick<HopOptions, "forward" | "vlan"> {
	return { forward: hook === "tc" ? "kernel" : forward, ...(vlan === undefined ? {} : { vlan }) };
}

export interface ResolvedHops {
	readonly hopOf: (address: Address) => Hop;
	/** Of these no neighbour is known; the kernel has been asked to look for them. */
	readonly unresolved: readonly Address[];
	/** To these there is no route. */
	readonly unreachable: readonly Address[];
}

/**
 * Looks up the way to each address. With `asks`, neighbours in use stay known. Throws SyscallError.
 */
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
/** States in which the kernel uses the address that it has. */
const USABLE: ReadonlySet<string> = new Set([...FRESH, "stale", "delay", "probe"]);

/** Of others the kernel is not sure, and is asked to look. */
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
	// With a tag, the way is a VLAN device of that number on one of ours; without, one of ours itself.
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
