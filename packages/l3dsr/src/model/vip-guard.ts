/**
 * The VIP guard: stops a real server from claiming a VIP on its segment, where the director (or another real server)
 * answers for it. Linux answers ARP on every interface for all of its addresses, including the loopback's, and uses a
 * VIP as the sender of the ARP requests that it makes for packets from the VIP. (IPv6 does neither: neighbour
 * discovery only uses addresses of the interface itself.)
 *
 * The guard also stores in the kernel which VIPs `l3dsr up` keeps on `lo`, so that no state file is needed.
 */
import { type Address, addressBits, type Prefix, prefixOf, sameAddress } from "@l3dsr/packet";

/** The sender to put into an ARP request through `interface` that would have had a VIP. */
export interface ArpSender {
	readonly interface: string;
	/** For requests for neighbours in this prefix; absent: for all others. */
	readonly neighbours?: Prefix;
	readonly sender: Address;
}

export interface VipGuard {
	/** VIPs of both families that `up` maintains; IPv4 first, sorted. */
	readonly held: readonly Address[];
	/** VIPs that `up` found on `lo`: they belong to somebody else, and stay when their service is removed. Sorted. */
	readonly found: readonly Address[];
	/** The IPv4 VIPs that are on no other interface of the host with ARP; ARP must not announce these. Sorted. */
	readonly silent: readonly Address[];
	readonly senders: readonly ArpSender[];
}

/** An address of an interface. */
export interface LinkAddress {
	readonly interface: string;
	readonly address: Address;
	readonly prefixLength: number;
	/** The interface is a bridge, as container networks use. */
	readonly bridge?: true;
	/** The interface has no ARP (a dummy, a tunnel), so it is like the loopback: its addresses must not be announced. */
	readonly silent?: true;
}

/**
 * The guard for these VIPs, of which `found` were on `lo` before, on a host whose interfaces (except `lo`) have these
 * addresses. Without VIPs: none.
 */
export function guardFor(
	vips: readonly Address[],
	links: readonly LinkAddress[],
	found: readonly Address[] = [],
): VipGuard | undefined {
	const held = sortAddresses(vips);
	if (held.length === 0) return undefined;
	const silent = held.filter(
		(vip) =>
			vip.family === "ipv4" &&
			!links.some(({ address, silent }) => silent !== true && sameAddress(address, vip)),
	);
	const usable = links.filter(
		({ address }) => address.family === "ipv4" && !silent.some((vip) => sameAddress(vip, address)),
	);
	const names = [...new Set(usable.map((link) => link.interface))].sort();
	const senders = names.flatMap((name) => {
		const own = usable.filter((link) => link.interface === name);
		// The longest prefix that contains the neighbour decides, as in routing.
		const subnets = own
			.filter(({ prefixLength }) => prefixLength < addressBits("ipv4"))
			.sort((a, b) => b.prefixLength - a.prefixLength)
			.map(
				({ address, prefixLength }): ArpSender => ({
					interface: name,
					neighbours: prefixOf(address, prefixLength),
					sender: address,
				}),
			);
		const [first] = own;
		return first === undefined ? subnets : [...subnets, { interface: name, sender: first.address }];
	});
	return { held, found: sortAddresses(found), silent, senders: silent.length === 0 ? [] : senders };
}

/**
 * The guard `whole`, adapted to a host where `current` is in force, without unnecessary changes. A bystander is an
 * interface that no director uses. It needs no sender: without one, its requests come from 0.0.0.0, which neighbours
 * answer. Senders of interfaces that no longer exist do no harm.
 */
export function settledGuard(
	current: VipGuard | undefined,
	whole: VipGuard,
	isBystander: (name: string) => boolean,
): VipGuard {
	if (current === undefined || current.senders.length === 0 || whole.senders.length === 0) return whole;
	const before = Map.groupBy(current.senders, (sender) => sender.interface);
	const now = Map.groupBy(whole.senders, (sender) => sender.interface);
	const senders = [...new Set([...before.keys(), ...now.keys()])].sort().flatMap((name) => {
		const wanted = now.get(name);
		if (wanted === undefined) return before.get(name) ?? [];
		return isBystander(name) && !before.has(name) ? [] : wanted;
	});
	return { ...whole, senders };
}

/** Each address once; IPv4 first, then by value. */
export function sortAddresses(addresses: readonly Address[]): Address[] {
	const byText = new Map(addresses.map((address) => [address.text, address]));
	return [...byText.values()].sort((a, b) => {
		if (a.bytes.length !== b.bytes.length) return a.bytes.length - b.bytes.length;
		const differs = a.bytes.findIndex((byte, index) => byte !== b.bytes[index]);
		return (a.bytes[differs] ?? 0) - (b.bytes[differs] ?? 0);
	});
}
