/**
 * What the kernel does with clients' packets to VIPs, and by which route it answers: from route look-ups
 * with source, destination and input interface, which apply all rules, tables and reverse path filtering.
 * Nothing is computed here.
 */
import {
	type IfIndex,
	listInterfaces,
	listRouteRules,
	listRoutes,
	lookUpRoute,
	type NetInterface,
	Netlink,
	ROUTE_TABLE,
	type Route,
	SyscallError,
} from "@l3dsr/linux";
import { type Address, addressFromBytes, type Dscp, type Family, prefixOf, tosOfDscp } from "@l3dsr/packet";
import type { AddressedInterface } from "./addresses.ts";
import { type ClientRoute, type ClientSample, clientSamples } from "./client-samples.ts";

/** A VIP, and the code with which its packets arrive. */
export interface AskedVip {
	readonly vip: Address;
	readonly dscp?: Dscp;
}

export interface Arrival {
	readonly interface: string;
	/** The kernel accepts the packets there, once rewritten. */
	readonly taken: boolean;
	/** Like `wayBack`, from the real address, which packets have before they are rewritten; absent: the same. */
	readonly wayBackFromReal?: readonly string[];
}

/** What happens to a client's packets to a VIP, and to the answers. */
export interface PathFacts {
	/** The VIPs of the look-up; the answer is the same for all of them. */
	readonly vips: readonly Address[];
	readonly client: ClientSample;
	/** Interfaces by which answers leave; empty: there is no route to the client. */
	readonly wayBack: readonly string[];
	/** Interfaces on which the packets may arrive. */
	readonly arrivals: readonly Arrival[];
}

export interface RouteFacts {
	/** VIPs that the kernel delivers on this host, on whichever interface they are. */
	readonly delivered: readonly Address[];
	readonly paths: readonly PathFacts[];
	/** VIPs whose paths are unknown until the host holds them: routing rules depend on the source of answers. */
	readonly unknown: readonly Address[];
	/** Routing rules match marks (fwmark), which a look-up does not know. */
	readonly byMark: boolean;
}

/** How many VIPs to look up one by one, if routing rules distinguish sources. */
const MOST_VIPS = 32;

/** Throws LinuxError. */
export function gatherRouteFacts(
	vips: readonly AskedVip[],
	interfaces: readonly AddressedInterface[],
): RouteFacts {
	using netlink = new Netlink();
	const rules = listRouteRules(netlink);
	const routes = clientRoutes(netlink);
	const links = listInterfaces(netlink);
	const own = interfaces.flatMap(({ addresses }) => addresses.map(({ address }) => address));
	const delivered = vips.filter(({ vip }) => isLocal(vip, netlink));
	const paths: PathFacts[] = [];
	const unknown: Address[] = [];
	for (const family of ["ipv4", "ipv6"] as const) {
		const ofFamily = vips.filter(({ vip }) => vip.family === family);
		const held = ofFamily.filter((one) => delivered.includes(one));
		const bySource = rules.some((rule) => rule.family === family && rule.source !== undefined);
		if (bySource) unknown.push(...ofFamily.filter((one) => !held.includes(one)).map(({ vip }) => vip));
		const asking: Asking = {
			links,
			clients: clientSamples(family, routes, own),
			arrivals: arrivalsOf(family, vips, interfaces, links),
			bySource,
		};
		// Without rules by source, all VIPs have the same answer, held or not.
		const groups = bySource
			? held.slice(0, MOST_VIPS).map((one) => [one])
			: [held.length > 0 ? [...held, ...ofFamily.filter((one) => !held.includes(one))] : ofFamily];
		for (const group of groups) {
			const [first] = group;
			if (first !== undefined) paths.push(...pathsOf(group, held.includes(first), asking, netlink));
		}
	}
	return {
		delivered: delivered.map(({ vip }) => vip),
		paths,
		unknown,
		byMark: rules.some(({ mark }) => mark !== undefined),
	};
}

/** What all VIPs of a family share. */
interface Asking {
	readonly links: readonly NetInterface[];
	readonly clients: readonly ClientSample[];
	/** Interfaces with an address of this host, apart from VIPs. */
	readonly arrivals: readonly { readonly name: string; readonly index: IfIndex; readonly real: Address }[];
	/** Routing rules distinguish sources. */
	readonly bySource: boolean;
}

/** A host whose own address is only on `lo` accepts packets for it on every interface. */
function arrivalsOf(
	family: Family,
	vips: readonly AskedVip[],
	interfaces: readonly AddressedInterface[],
	links: readonly NetInterface[],
): Asking["arrivals"] {
	const texts = new Set(vips.map(({ vip }) => vip.text));
	const realOf = ({ addresses }: AddressedInterface): Address | undefined =>
		addresses.find(
			({ address, scope }) => scope === "global" && address.family === family && !texts.has(address.text),
		)?.address;
	const onLoopback = interfaces.filter(({ name }) => name === "lo").map(realOf)[0];
	const usable = interfaces.flatMap((one) => {
		const index = links.find((link) => link.name === one.name)?.index;
		return one.name === "lo" || !one.up || index === undefined ? [] : [{ one, index }];
	});
	const own = usable.flatMap(({ one, index }) => {
		const real = realOf(one);
		return real === undefined ? [] : [{ name: one.name, index, real }];
	});
	if (own.length > 0 || onLoopback === undefined) return own;
	return usable.map(({ one, index }) => ({ name: one.name, index, real: onLoopback }));
}

/** The answers for the first VIP of the group; if the host does not hold it, those for the real address instead. */
function pathsOf(
	group: readonly AskedVip[],
	isHeld: boolean,
	{ links, clients, arrivals, bySource }: Asking,
	netlink: Netlink,
): PathFacts[] {
	const [first] = group;
	if (first === undefined) return [];
	const vip = isHeld ? first.vip : undefined;
	const tos = first.dscp === undefined ? 0 : tosOfDscp(first.dscp);
	return clients.map((client) => ({
		vips: group.map((one) => one.vip),
		client,
		wayBack: wayBack(client.address, vip, links, netlink),
		arrivals: arrivals.map(({ name, index, real }) => {
			const source = client.address.bytes;
			const destination = (vip ?? real).bytes;
			const route = ask(() => lookUpRoute({ source, destination, inputIndex: index, tos }, netlink));
			const taken = route?.type === "local";
			if (!bySource) return { interface: name, taken };
			return { interface: name, taken, wayBackFromReal: wayBack(client.address, real, links, netlink) };
		}),
	}));
}

/** Types of routes for clients: those that lead to them, and those that refuse them. */
const CLIENT_ROUTES: ReadonlySet<string> = new Set(["unicast", "blackhole", "unreachable", "prohibit"]);

/** The routes of every table except that of this host's own addresses. */
function clientRoutes(netlink: Netlink): ClientRoute[] {
	return listRoutes({}, netlink)
		.filter(({ table, type }) => table !== ROUTE_TABLE.local && CLIENT_ROUTES.has(type))
		.map(({ destination, nextHops }) => ({
			destination: prefixOf(addressFromBytes(destination.bytes), destination.length),
			// A route that refuses means networks elsewhere.
			byGateway: nextHops.length === 0 || nextHops.some(({ gateway }) => gateway !== undefined),
		}));
}

function isLocal({ bytes }: Address, netlink: Netlink): boolean {
	return ask(() => lookUpRoute({ destination: bytes }, netlink))?.type === "local";
}

function wayBack(
	{ bytes }: Address,
	sender: Address | undefined,
	links: readonly NetInterface[],
	netlink: Netlink,
): string[] {
	const from = sender === undefined ? {} : { source: sender.bytes };
	const route = ask(() => lookUpRoute({ destination: bytes, ...from, whole: true }, netlink));
	if (route?.type !== "unicast") return [];
	return route.nextHops.flatMap((hop) => links.find(({ index }) => index === hop.index)?.name ?? []);
}

/** Undefined if the kernel refuses: no route, a route that refuses, or reverse path filtering. */
function ask(lookUp: () => Route): Route | undefined {
	try {
		return lookUp();
	} catch (error) {
		if (error instanceof SyscallError) return undefined;
		throw error;
	}
}
