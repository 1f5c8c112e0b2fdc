/**
 * Interfaces with their addresses, and the VIPs on the loopback interface: read and changed by rtnetlink.
 *
 * A VIP is a /32 with a label `lo:N` (IPv4, so that ifconfig shows it too) or a /128 (IPv6, which has no
 * labels).
 */

import {
	addAddress,
	deleteAddress,
	ERRNO,
	type HeldAddress,
	type IfIndex,
	interfaceByName,
	listAddresses,
	listInterfaces,
	Netlink,
	SyscallError,
} from "@l3dsr/linux";
import { type Address, addressBits, addressFromBytes } from "@l3dsr/packet";
import { L3dsrError } from "../errors.ts";

/** An address that an interface holds. */
export interface InterfaceAddress {
	readonly address: Address;
	readonly prefixLength: number;
	/** `lo:1`; the interface's own name when none was given; IPv6 has none. */
	readonly label?: string;
	/** `host` for 127.0.0.1 and ::1, `global` for VIPs. */
	readonly scope: string;
	/** `l3dsr up` has put it there. */
	readonly own?: true;
}

export interface AddressChange {
	readonly kind: "add" | "remove";
	readonly address: Address;
	/** The address alone (/32 or /128) where absent. */
	readonly prefixLength?: number;
	/** IPv4, to add. */
	readonly label?: string;
	/** To be known again as what `l3dsr up` has put there. */
	readonly own?: true;
}

/** Who added an address, as the kernel remembers it: ours. Chosen by lot, as nobody assigns these numbers. */
const OWN_PROTOCOL = 0x4c;

/** Addresses of `lo` in the kernel's order. Throws LinuxError. */
export function listLoopbackAddresses(): InterfaceAddress[] {
	const { index } = interfaceByName("lo");
	const held = listAddresses();
	const isOwn = ownAddresses(held);
	return held.filter((one) => one.index === index).map((one) => interfaceAddress(one, isOwn));
}

/** An interface and what it holds. */
export interface AddressedInterface {
	readonly name: string;
	/** Other names of it, which a configuration may use. */
	readonly alternativeNames: readonly string[];
	readonly up: boolean;
	readonly mtu: number;
	/** It has no ARP and no neighbour discovery, so nobody hears of its addresses there: a dummy, a tunnel. */
	readonly silent?: true;
	/** Of a virtual device: `bridge`, `veth`. */
	readonly kind?: string;
	/** The interface that it is tied to: below a VLAN device, the other end of a veth. */
	readonly linked?: string;
	/** It belongs to a bridge or a bond, where its packets arrive. */
	readonly port?: true;
	readonly addresses: readonly InterfaceAddress[];
}

/** Every interface of this network namespace, `lo` too, in the kernel's order. Throws LinuxError. */
export function listInterfaceAddresses(): AddressedInterface[] {
	using netlink = new Netlink();
	const links = listInterfaces(netlink);
	const all = listAddresses(netlink);
	const isOwn = ownAddresses(all);
	const held = Map.groupBy(all, ({ index }) => index);
	const names = new Map(links.map(({ index, name }) => [index, name]));
	// A member of a VRF still receives by itself.
	const vrfs = new Set<number>(links.filter(({ kind }) => kind === "vrf").map(({ index }) => index));
	return links.map(({ index, name, alternativeNames, up, mtu, arp, loopback, kind, linkedTo, master }) => {
		const linked = linkedTo === undefined ? undefined : names.get(linkedTo);
		return {
			name,
			alternativeNames,
			up,
			mtu,
			...(arp || loopback ? {} : { silent: true as const }),
			...(kind === undefined ? {} : { kind }),
			...(linked === undefined ? {} : { linked }),
			...(master === undefined || vrfs.has(master) ? {} : { port: true as const }),
			addresses: (held.get(index) ?? []).map((one) => interfaceAddress(one, isOwn)),
		};
	});
}

function interfaceAddress(held: HeldAddress, isOwn: (held: HeldAddress) => boolean): InterfaceAddress {
	const { bytes, prefixLength, scope, label } = held;
	return {
		address: addressFromBytes(bytes),
		prefixLength,
		scope,
		...(label === undefined ? {} : { label }),
		...(isOwn(held) ? { own: true } : {}),
	};
}

/**
 * Which addresses are ours. Before Linux 5.18, which remembers who added an address (and says so of 127.0.0.1), they are
 * known by how ours look: IPv4 by a label that is a number, IPv6 deprecated.
 */
function ownAddresses(all: readonly HeldAddress[]): (held: HeldAddress) => boolean {
	if (all.some(({ protocol }) => protocol !== undefined)) return ({ protocol }) => protocol === OWN_PROTOCOL;
	return ({ label, deprecated }) => (label === undefined ? deprecated : /^lo:[0-9]+$/.test(label));
}

/**
 * Makes the changes in order. Throws L3dsrError (KERNEL_*) that names the first change refused; those before it
 * stand, so observe again before undoing.
 */
export function changeLoopbackAddresses(changes: readonly AddressChange[]): void {
	if (changes.length === 0) return;
	using netlink = new Netlink();
	const { index } = interfaceByName("lo");
	for (const change of changes) {
		try {
			applyChange(change, index, netlink);
		} catch (error) {
			throw refusal(change, error);
		}
	}
}

function applyChange(change: AddressChange, index: IfIndex, netlink: Netlink): void {
	const { address, label } = change;
	const { bytes } = address;
	const prefixLength = change.prefixLength ?? addressBits(address.family);
	if (change.kind === "remove") {
		deleteAddress({ index, bytes, prefixLength }, netlink);
		return;
	}
	const owner = change.own === true ? { protocol: OWN_PROTOCOL } : {};
	addAddress(
		address.family === "ipv4"
			? { index, bytes, prefixLength, label: label ?? "lo", ...owner }
			: // An address that nobody else can hold needs no duplicate address detection (it would be tentative,
				// and not answer, for a second). Deprecated, it is never the source of what this host sends by itself.
				{ index, bytes, prefixLength, noDad: true, preferredS: 0, ...owner },
		netlink,
	);
}

function refusal({ kind, address }: AddressChange, error: unknown): unknown {
	if (!(error instanceof SyscallError)) return error;
	const what = `${kind} ${address.text} ${{ add: "to", remove: "from" }[kind]} lo`;
	const permission = error.errno === ERRNO.EPERM;
	// What the kernel says to an IPv6 address where net.ipv6.conf.lo.disable_ipv6 is 1.
	const ipv6 = error.errno === ERRNO.EACCES && address.family === "ipv6";
	return new L3dsrError(
		{
			code: permission ? "KERNEL_PERMISSION" : "KERNEL_SYSCALL",
			message: `${what}: ${error.reason}`,
			...(permission ? { hint: "run this as root (CAP_NET_ADMIN)" } : {}),
			...(ipv6 ? { hint: "IPv6 may be disabled here: sysctl net.ipv6.conf.lo.disable_ipv6" } : {}),
		},
		{ cause: error },
	);
}
