/**
 * The VIP guard: what keeps a real server from claiming a VIP on its segment, where the director (or
 * another real server) answers for it. Linux answers ARP on every interface for every address it holds, the
 * loopback's too, and puts a VIP as sender into the ARP requests that it makes for packets from the VIP.
 * (IPv6 does neither: neighbour discovery speaks only for addresses of the interface itself.)
 *
 * It is also the kernel's memory of which VIPs `l3dsr up` holds on `lo`, so that no state file is needed.
 */
import { type Address, addressBits, type Prefix, prefixOf, sameAddress } from "@l3dsr/packet";

/** The sender that an ARP request through `interface` gets when it would have been a VIP. */
export interface ArpSender {
	readonly interface: string;
	/** For requests about neighbours in this prefix; absent: about any other. */
	readonly neighbours?: Prefix;
	readonly sender: Address;
}

export interface VipGuard {
	/** VIPs of both families that `up` looks after; IPv4 first, sorted. */
	readonly held: readonly Address[];
	/** Those of them that `up` found on `lo`: they are somebody else's, and stay when their service goes. Sorted. */
	readonly found: readonly Address[];
	/** Those of IPv4 that no other interface of the host holds, but one without ARP: nobody hears of them by ARP. Sorted. */
	readonly silent: readonly Address[];
	readonly senders: readonly ArpSender[];
}

/** An address of an interface. */
export interface LinkAddress {
	readonly interface: string;
	readonly address: Address;
	readonly prefixLength: number;
	/** The interface is a bridge, as container networks have them. */
	readonly bridge?: true;
	/** The interface has no ARP (a dummy, a tunnel), so it is as good as the loopback: nobody is to hear of its addresses. */
	readonly silent?: true;
}

/**
 * The guard of these VIPs, of which `found` were on `lo` before, on a host whose interfaces (but `lo`) have these
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
		// The longest prefix that holds the neighbour decides, as in routing.
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
 * The guard `whole` for a host where `standing` runs, without changes that nothing needs. A bystander is an interface
 * that no director uses. It needs no sender: without one its requests come from 0.0.0.0, which neighbours answer.
 * Senders of interfaces that are gone do no harm.
 */
export function settledGuard(
	standing: VipGuard | undefined,
	whole: VipGuard,
	isBystander: (name: string) => boolean,
): VipGuard {
	if (standing === undefined || standing.senders.length === 0 || whole.senders.length === 0) return whole;
	const before = Map.groupBy(standing.senders, (sender) => sender.interface);
	const now = Map.groupBy(whole.senders, (sender) => sender.interface);
	const senders = [...new Set([...before.keys(), ...now.keys()])].sort().flatMap((name) => {
		const wanted = now.get(name);
		if (wanted === undefined) return before.get(name) ?? [];
		return isBystander(name) && !before.has(name) ? [] : wanted;
	});
	return { ...whole, senders };
}

/** Each once; IPv4 first, then by value. */
export function sortAddresses(addresses: readonly Address[]): Address[] {
	const byText = new Map(addresses.map((address) => [address.text, address]));
	return [...byText.values()].sort((a, b) => {
		if (a.bytes.length !== b.bytes.length) return a.bytes.length - b.bytes.length;
		const differs = a.bytes.findIndex((byte, index) => byte !== b.bytes[index]);
		return (a.bytes[differs] ?? 0) - (b.bytes[differs] ?? 0);
	});
}
