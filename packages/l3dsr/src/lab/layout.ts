/**
 * The lab's layout as plain data: six hosts on seven subnets, the VIPs of the iptables-daddr document, and the routes.
 * Nothing here touches the kernel.
 *
 *            10.0.1.0/24          10.0.2.0/24 (in), 10.0.3.0/24 (out)
 *   client ─────────────┐  ┌┌───────────────────── director
 *                       router
 *   real1 ──────────────┘│ └└───────────────────── director2
 *            10.0.11.0/24│        10.0.4.0/24 (in), 10.0.5.0/24 (out)
 *   real2 ───────────────┘
 *            10.0.12.0/24
 *
 * The router shares the VIPs' packets among the directors by equal-cost routes. A director has two links, which separates
 * incoming from outgoing packets. No two hosts share a subnet: everything between directors and real servers is routed,
 * which is the point of Layer-3 DSR. IPv6 has the same numbers:
 * 2001:db8:11::2 is the IPv6 address of 10.0.11.2.
 */
import { type Address, type Dscp, dscp, type Family, parseAddress } from "@l3dsr/packet";

export const HOSTS = ["client", "router", "director", "director2", "real1", "real2"] as const;
export type Host = (typeof HOSTS)[number];

export const DIRECTORS = ["director", "director2"] as const;
export type DirectorName = (typeof DIRECTORS)[number];

export const REAL_SERVERS = ["real1", "real2"] as const;
export type RealServer = (typeof REAL_SERVERS)[number];

export const FAMILIES: readonly Family[] = ["ipv4", "ipv6"];

/** A VIP and the DSCP that represents it between director and real servers. */
export interface VirtualAddress {
	readonly vip: Address;
	readonly dscp: Dscp;
}

export const VIPS: readonly VirtualAddress[] = [
	{ vip: literal("72.30.38.140"), dscp: dscp(1) },
	{ vip: literal("98.139.183.24"), dscp: dscp(2) },
	{ vip: literal("fc00:1000:0:6::10"), dscp: dscp(10) },
	{ vip: literal("fc00:1000:0:6::21"), dscp: dscp(11) },
];

/** The port on which the real servers listen, on all of their addresses. */
export const HTTP_PORT = 80;
export const UDP_PORT = 7;

/** The DSCP of the client's packets to a real server's own address; no rule knows it. */
export const OTHER_DSCP = dscp(20);

/**
 * A cable between the router and another host. Its two ends get different interface numbers. If they were equal, the
 * kernel could take up to a second (linkwatch_urgent_event in net/core/link_watch.c) to tell the end that came up
 * first that it has a carrier.
 */
export interface Link {
	readonly host: Exclude<Host, "router">;
	/** The interface at the host's end. */
	readonly device: string;
	/** The interface at the router's end. */
	readonly routerDevice: string;
	/** The third group of the subnet's addresses: N in 10.0.N.0/24 and 2001:db8:N::/64. */
	readonly subnet: number;
}

export const LINKS: readonly Link[] = [
	{ host: "client", device: "eth0", routerDevice: "client", subnet: 1 },
	{ host: "director", device: "eth0", routerDevice: "director-in", subnet: 2 },
	{ host: "director", device: "eth1", routerDevice: "director-out", subnet: 3 },
	{ host: "director2", device: "eth0", routerDevice: "director2-in", subnet: 4 },
	{ host: "director2", device: "eth1", routerDevice: "director2-out", subnet: 5 },
	{ host: "real1", device: "eth0", routerDevice: "real1", subnet: 11 },
	{ host: "real2", device: "eth0", routerDevice: "real2", subnet: 12 },
];

/** The interface on which a director receives packets for the VIPs. */
export const DIRECTOR_DEVICE = "eth0";

/** The interface on which a real server receives packets. */
export const REAL_SERVER_DEVICE = "eth0";

/** A host's own address; for a director, on the link that receives requests. */
export function addressOf(host: Exclude<Host, "router">, family: Family): Address {
	return linkAddress(linkTo(host), family, 2);
}

function linkTo(host: Exclude<Host, "router">): Link {
	const link = LINKS.find((candidate) => candidate.host === host);
	if (link === undefined) throw new RangeError(`no link leads to ${host}`);
	return link;
}

/** The name of a host's network namespace in the given lab. */
export function namespaceOf(lab: string, host: Host): string {
	return `${lab}-${host}`;
}

/** An address of an interface of the lab, with its prefix length. */
export interface DeviceAddress {
	readonly device: string;
	readonly address: Address;
	readonly length: number;
}

/** All addresses of a host, except those on its loopback. */
export function addressesOf(host: Host): DeviceAddress[] {
	return LINKS.filter((link) => host === "router" || link.host === host).flatMap((link) =>
		FAMILIES.map((family) => ({
			device: host === "router" ? link.routerDevice : link.device,
			address: linkAddress(link, family, host === "router" ? 1 : 2),
			length: family === "ipv4" ? 24 : 64,
		})),
	);
}

/** A route via one or more neighbours of equal cost; without a destination, the default route. */
export interface LabRoute {
	readonly destination?: Address;
	readonly ways: readonly { readonly gateway: Address; readonly device: string }[];
}

/** The router sends VIPs to the directors; all others send everything to the router. */
export function routesOf(host: Host): LabRoute[] {
	if (host === "router") {
		return VIPS.map(({ vip }) => ({
			destination: vip,
			ways: DIRECTORS.map((director) => ({
				gateway: addressOf(director, vip.family),
				device: linkTo(director).routerDevice,
			})),
		}));
	}
	const way = LINKS.findLast((link) => link.host === host);
	if (way === undefined) throw new RangeError(`no link leads to ${host}`);
	return FAMILIES.map((family) => ({
		ways: [{ gateway: linkAddress(way, family, 1), device: way.device }],
	}));
}

function linkAddress({ subnet }: Link, family: Family, host: number): Address {
	return literal(family === "ipv4" ? `10.0.${subnet}.${host}` : `2001:db8:${subnet}::${host}`);
}

function literal(text: string): Address {
	const address = parseAddress(text);
	if (address === undefined) throw new RangeError(`${text} is not an address`);
	return address;
}
