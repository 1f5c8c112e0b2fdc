/** Lists, adds and deletes routes over rtnetlink, and looks up the route that the kernel would choose. */

import { ERRNO } from "../errno.ts";
import { LinuxError } from "../error.ts";
import { type IfIndex, ifIndexOf } from "../if-index.ts";
import { Layout } from "../layout.ts";
import { SyscallError } from "../libc.ts";
import { type Netlink, type NetlinkMessage, NLM_F } from "../netlink.ts";
import {
	type Attributes,
	attribute,
	decodeAttributes,
	nestedAttribute,
	u32Attribute,
	u32Value,
} from "../netlink-attribute.ts";
import { AF_INET, AF_INET6 } from "../socket.ts";
import {
	addressText,
	familyOf,
	given,
	type IpPrefix,
	nameIn,
	RTM,
	RTMSG,
	type ScopeName,
	scopeName,
	scopeNumber,
	withRtnetlink,
	zeroAddress,
} from "./protocol.ts";

const RTA = {
	DST: 1,
	SRC: 2,
	IIF: 3,
	OIF: 4,
	GATEWAY: 5,
	PRIORITY: 6,
	PREFSRC: 7,
	METRICS: 8,
	MULTIPATH: 9,
	TABLE: 15,
	MARK: 16,
	VIA: 18,
	IP_PROTO: 27,
	SPORT: 28,
	DPORT: 29,
} as const;
const RTAX_MTU = 2;
const RTM_F_CLONED = 0x200;
const RTM_F_FIB_MATCH = 0x2000;
const RTNH_F_ONLINK = 4;
const RTNH_F_DEAD = 1;
const RTNH_F_LINKDOWN = 16;
/** struct rtnexthop. */
const RTNEXTHOP = new Layout({ len: "u16", flags: "u8", hops: "u8", index: "s32" });

/** Well-known tables, with the names in /etc/iproute2/rt_tables. */
export const ROUTE_TABLE = { default: 253, main: 254, local: 255 } as const;

/** RTN_* of include/uapi/linux/rtnetlink.h, with the names of ip-route(8). */
const TYPES = {
	unicast: 1,
	local: 2,
	broadcast: 3,
	anycast: 4,
	multicast: 5,
	blackhole: 6,
	unreachable: 7,
	prohibit: 8,
	throw: 9,
	nat: 10,
} as const;
export type RouteType = keyof typeof TYPES;

/** RTPROT_*: the origin of a route. */
const PROTOCOLS = {
	unspec: 0,
	redirect: 1,
	kernel: 2,
	boot: 3,
	static: 4,
	ra: 9,
	bird: 12,
	dhcp: 16,
	bgp: 186,
};
export type RouteProtocol = keyof typeof PROTOCOLS;

/** One next hop of a route. */
export interface NextHop {
	/** Index of the interface; absent for a route without one (blackhole). */
	readonly index?: IfIndex;
	/** Absent if the destination is on the link. An IPv4 route may have an IPv6 gateway (RFC 5549). */
	readonly gateway?: Uint8Array;
	/** Relative share among several next hops, from 1. */
	readonly weight: number;
	/** The gateway is assumed to be on the link, whatever its address. */
	readonly onLink: boolean;
	/** The interface is down or has no carrier. */
	readonly down: boolean;
}

export interface Route {
	/** `length` is 0 for a default route. */
	readonly destination: IpPrefix;
	/** IPv6 only: the route applies to packets from these addresses. */
	readonly from?: IpPrefix;
	/** `unicast`, `local`, `blackhole` …; a number if it has no name. */
	readonly type: string;
	readonly table: number;
	/** `kernel`, `static`, `ra` …; a number if it has no name. */
	readonly protocol: string;
	/** `global`, `link`, `host` … */
	readonly scope: string;
	/** The lowest wins; default 0 for IPv4, 1024 for IPv6. */
	readonly metric: number;
	/**
	 * Preferred source address, used when a program does not choose one (always present in an IPv4 lookup).
	 */
	readonly source?: Uint8Array;
	/** At least one, except for routes without an interface. */
	readonly nextHops: readonly NextHop[];
	/** In bytes, if the route has its own MTU. */
	readonly mtu?: number;
}

export interface RouteFilter {
	readonly family?: "ipv4" | "ipv6";
	readonly table?: number;
	readonly type?: RouteType;
}

export interface NewRoute {
	readonly destination: { readonly bytes: ArrayLike<number>; readonly length: number };
	readonly type?: RouteType;
	/** Default: main. */
	readonly table?: number;
	/** Default: static. */
	readonly protocol?: RouteProtocol;
	/** Default: global with a gateway, host for local routes, link without. */
	readonly scope?: ScopeName;
	readonly metric?: number;
	readonly source?: ArrayLike<number>;
	readonly mtu?: number;
	/** One or several (multipath). */
	readonly nextHops?: readonly {
		readonly index?: IfIndex;
		readonly gateway?: ArrayLike<number>;
		readonly weight?: number;
		readonly onLink?: boolean;
	}[];
}

/** A packet whose route is looked up. Every optional field narrows the lookup. */
export interface RouteQuestion {
	readonly destination: ArrayLike<number>;
	readonly source?: ArrayLike<number>;
	/** The packet arrives on this interface: is it forwarded, delivered, or refused (rp_filter)? */
	readonly inputIndex?: number;
	/** This host sends the packet from this interface. */
	readonly outputIndex?: number;
	readonly mark?: number;
	/** The IPv4 TOS or IPv6 traffic class. */
	readonly tos?: number;
	/** IP protocol number; ports are used if the protocol has them. */
	readonly protocol?: number;
	readonly sourcePort?: number;
	readonly destinationPort?: number;
	/** Return the whole route with its prefix and all its next hops, instead of the chosen next hop. */
	readonly whole?: boolean;
}

/** All routes that match the filter, IPv4 first, in the kernel's order. Throws SyscallError. */
export function listRoutes(filter: RouteFilter = {}, netlink?: Netlink): readonly Route[] {
	return dumpRoutes(filter, netlink, routeOf);
}

/** Destinations of all routes of type "local", IPv4 first. Throws SyscallError. */
export function listLocalRoutes(netlink?: Netlink): readonly IpPrefix[] {
	return dumpRoutes({ table: ROUTE_TABLE.local, type: "local" }, netlink, destinationOf);
}

/** `read` extracts what is needed from each route, because a host may have many. */
function dumpRoutes<T>(
	filter: RouteFilter,
	netlink: Netlink | undefined,
	read: (message: RouteMessage) => T,
): readonly T[] {
	const families = [AF_INET, AF_INET6].filter(
		(family) => filter.family === undefined || (filter.family === "ipv4") === (family === AF_INET),
	);
	const type = filter.type === undefined ? 0 : TYPES[filter.type];
	return withRtnetlink(netlink, (socket) =>
		families.flatMap((family) => {
			const payload = Buffer.concat([
				RTMSG.encode({ family, type }),
				given([RTA.TABLE, filter.table === undefined ? undefined : u32Value(filter.table)]),
			]);
			try {
				const found: T[] = [];
				for (const message of socket.dump({ type: RTM.GETROUTE, payload, doing: "list routes" })) {
					const route = decodeRouteMessage(message);
					if (route?.fixed.family !== family || isCached(route)) continue;
					// Kernels that cannot filter (before 4.20) send every route.
					if (type !== 0 && route.fixed.type !== type) continue;
					if (filter.table === undefined || tableOf(route) === filter.table) found.push(read(route));
				}
				return found;
			} catch (error) {
				// A table that has never had a route does not exist.
				if (error instanceof SyscallError && error.errno === ERRNO.ENOENT) return [];
				throw error;
			}
		}),
	);
}

/**
 * The route that the kernel takes for a packet by all rules and tables: its one next hop, and this host's
 * source address. Throws SyscallError: ENETUNREACH, EHOSTUNREACH, EACCES for routes that refuse, EINVAL for a
 * blackhole. For an incoming packet (`inputIndex`) that would be dropped, by reverse path filtering or
 * without a route: EXDEV and the like, or EINVAL whatever the reason (Linux 6.14 and newer).
 */
export function lookUpRoute(question: RouteQuestion, netlink?: Netlink): Route {
	const { destination, source, inputIndex, outputIndex, mark, tos = 0, protocol } = question;
	const family = familyOf(destination);
	const bits = destination.length * 8;
	const payload = Buffer.concat([
		RTMSG.encode({
			family,
			destinationLength: bits,
			sourceLength: source === undefined ? 0 : bits,
			tos,
			flags: question.whole === true ? RTM_F_FIB_MATCH : 0,
		}),
		given(
			[RTA.DST, Uint8Array.from(destination)],
			[RTA.SRC, bytesOf(source)],
			[RTA.IIF, numberOf(inputIndex)],
			[RTA.OIF, numberOf(outputIndex)],
			[RTA.MARK, numberOf(mark)],
			[RTA.IP_PROTO, protocol === undefined ? undefined : Uint8Array.of(protocol)],
			[RTA.SPORT, portOf(question.sourcePort)],
			[RTA.DPORT, portOf(question.destinationPort)],
		),
	]);
	const doing = `look up the route to ${addressText(destination)}`;
	const message = withRtnetlink(netlink, (socket) => socket.get({ type: RTM.GETROUTE, payload, doing }));
	const route = decodeRouteMessage(message);
	if (route === undefined) throw new LinuxError("SYSCALL", `${doing}: the answer is about something else`);
	return routeOf(route);
}

/**
 * Throws SyscallError: EEXIST if there is one with the same destination and metric (and next hop, for IPv6).
 */
export function addRoute(route: NewRoute, netlink?: Netlink): void {
	changeRoute(route, RTM.NEWROUTE, NLM_F.CREATE | NLM_F.EXCL, "add", netlink);
}

/** Adds the route, or replaces the one with the same destination and metric. Throws SyscallError. */
export function replaceRoute(route: NewRoute, netlink?: Netlink): void {
	changeRoute(route, RTM.NEWROUTE, NLM_F.CREATE | NLM_F.REPLACE, "replace", netlink);
}

/** Deletes the first route that matches all given fields. Throws SyscallError: ESRCH if there is none. */
export function deleteRoute(route: NewRoute, netlink?: Netlink): void {
	changeRoute(route, RTM.DELROUTE, 0, "delete", netlink);
}

function changeRoute(
	route: NewRoute,
	type: number,
	flags: number,
	verb: string,
	netlink: Netlink | undefined,
): void {
	const { destination, table = ROUTE_TABLE.main, metric, mtu, nextHops = [] } = route;
	const family = familyOf(destination.bytes);
	const deleting = type === RTM.DELROUTE;
	const payload = Buffer.concat([
		RTMSG.encode({
			family,
			destinationLength: destination.length,
			table: table < 256 ? table : 0,
			protocol: deleting && route.protocol === undefined ? 0 : PROTOCOLS[route.protocol ?? "static"],
			// RT_SCOPE_NOWHERE matches any scope.
			scope: scopeNumber(route.scope ?? (deleting ? "nowhere" : defaultScope(route))),
			type: deleting && route.type === undefined ? 0 : TYPES[route.type ?? "unicast"],
			flags: nextHops.length === 1 && nextHops[0]?.onLink === true ? RTNH_F_ONLINK : 0,
		}),
		given(
			[RTA.DST, destination.length === 0 ? undefined : Uint8Array.from(destination.bytes)],
			[RTA.TABLE, u32Value(table)],
			[RTA.PRIORITY, numberOf(metric)],
			[RTA.PREFSRC, bytesOf(route.source)],
		),
		mtu === undefined ? new Uint8Array() : nestedAttribute(RTA.METRICS, attribute(RTAX_MTU, u32Value(mtu))),
		encodeNextHops(family, nextHops),
	]);
	const doing = `${verb} the route to ${addressText(destination.bytes)}/${destination.length}`;
	withRtnetlink(netlink, (socket) => socket.change({ type, flags, payload, doing }));
}

function defaultScope({ type, nextHops = [], destination }: NewRoute): ScopeName {
	if (destination.bytes.length === 16) return "global"; // IPv6 has no scopes of routes
	if (type === "local") return "host";
	const direct = type === undefined || type === "unicast";
	return direct && nextHops.every(({ gateway }) => gateway === undefined) ? "link" : "global";
}

function encodeNextHops(family: number, hops: NonNullable<NewRoute["nextHops"]>): Uint8Array {
	const [first] = hops;
	if (first === undefined) return new Uint8Array();
	if (hops.length === 1) {
		return Buffer.concat([given([RTA.OIF, numberOf(first.index)]), encodeGateway(family, first.gateway)]);
	}
	const encoded = hops.map(({ index, gateway, weight = 1, onLink }) => {
		const attributes = encodeGateway(family, gateway);
		const fixed = RTNEXTHOP.encode({
			len: RTNEXTHOP.size + attributes.length,
			flags: onLink === true ? RTNH_F_ONLINK : 0,
			hops: weight - 1,
			index: index ?? 0,
		});
		return Buffer.concat([fixed, attributes]);
	});
	return attribute(RTA.MULTIPATH, Buffer.concat(encoded));
}

function encodeGateway(family: number, gateway: ArrayLike<number> | undefined): Uint8Array {
	if (gateway === undefined) return new Uint8Array();
	const bytes = Uint8Array.from(gateway);
	if (familyOf(bytes) === family) return attribute(RTA.GATEWAY, bytes);
	// struct rtvia: the family, then the address.
	return attribute(RTA.VIA, Uint8Array.of(familyOf(bytes) & 0xff, familyOf(bytes) >> 8, ...bytes));
}

/** A message about a route: its fixed part and its attributes. */
interface RouteMessage {
	readonly fixed: ReturnType<typeof RTMSG.decode>;
	readonly attributes: Attributes;
}

/** Undefined if the message is not about an IP route. */
function decodeRouteMessage({ payload }: NetlinkMessage): RouteMessage | undefined {
	const fixed = RTMSG.decode(payload);
	if (fixed.family !== AF_INET && fixed.family !== AF_INET6) return undefined;
	return { fixed, attributes: decodeAttributes(payload.subarray(RTMSG.size)) };
}

/** Empty if the message is not about an IP route. */
export function decodeIpRoute(message: NetlinkMessage): Route[] {
	const route = decodeRouteMessage(message);
	return route === undefined || isCached(route) ? [] : [routeOf(route)];
}

/** Cached single destinations are not routes. */
function isCached({ fixed }: RouteMessage): boolean {
	return (fixed.flags & RTM_F_CLONED) !== 0;
}

function destinationOf({ fixed, attributes }: RouteMessage): IpPrefix {
	return {
		bytes: attributes.get(RTA.DST) ?? zeroAddress(fixed.family),
		length: fixed.destinationLength,
	};
}

function tableOf({ fixed, attributes }: RouteMessage): number {
	return u32Attribute(attributes, RTA.TABLE) ?? fixed.table;
}

function routeOf(message: RouteMessage): Route {
	const { fixed, attributes } = message;
	const from = attributes.get(RTA.SRC);
	const source = attributes.get(RTA.PREFSRC);
	const metrics = attributes.get(RTA.METRICS);
	const mtu = metrics === undefined ? undefined : u32Attribute(decodeAttributes(metrics), RTAX_MTU);
	return {
		destination: destinationOf(message),
		...(from === undefined ? {} : { from: { bytes: from, length: fixed.sourceLength } }),
		type: nameIn(TYPES, fixed.type),
		table: tableOf(message),
		protocol: nameIn(PROTOCOLS, fixed.protocol),
		scope: scopeName(fixed.scope),
		metric: u32Attribute(attributes, RTA.PRIORITY) ?? 0,
		...(source === undefined ? {} : { source }),
		nextHops: nextHopsOf(attributes, fixed.flags),
		...(mtu === undefined ? {} : { mtu }),
	};
}

function nextHopsOf(attributes: Attributes, flags: number): NextHop[] {
	const multipath = attributes.get(RTA.MULTIPATH);
	if (multipath === undefined) {
		const index = u32Attribute(attributes, RTA.OIF);
		const gateway = gatewayOf(attributes);
		if (index === undefined && gateway === undefined) return [];
		return [{ ...(index === undefined ? {} : { index: ifIndexOf(index) }), ...hopOf(gateway, flags, 1) }];
	}
	const hops: NextHop[] = [];
	for (let at = 0; at + RTNEXTHOP.size <= multipath.length; ) {
		const {
			len,
			flags: own,
			hops: more,
			index,
		} = RTNEXTHOP.decode(multipath.subarray(at, at + RTNEXTHOP.size));
		if (len < RTNEXTHOP.size) break;
		const gateway = gatewayOf(decodeAttributes(multipath.subarray(at + RTNEXTHOP.size, at + len)));
		hops.push({ index: ifIndexOf(index), ...hopOf(gateway, own, more + 1) });
		at += (len + 3) & ~3;
	}
	return hops;
}

function hopOf(gateway: Uint8Array | undefined, flags: number, weight: number): Omit<NextHop, "index"> {
	return {
		...(gateway === undefined ? {} : { gateway }),
		weight,
		onLink: (flags & RTNH_F_ONLINK) !== 0,
		down: (flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) !== 0,
	};
}

function gatewayOf(attributes: Attributes): Uint8Array | undefined {
	return attributes.get(RTA.GATEWAY) ?? attributes.get(RTA.VIA)?.slice(2);
}

function bytesOf(bytes: ArrayLike<number> | undefined): Uint8Array | undefined {
	return bytes === undefined ? undefined : Uint8Array.from(bytes);
}

function numberOf(value: number | undefined): Uint8Array | undefined {
	return value === undefined ? undefined : u32Value(value);
}

/** The port as be16. */
function portOf(port: number | undefined): Uint8Array | undefined {
	return port === undefined ? undefined : Uint8Array.of(port >> 8, port & 0xff);
}
