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
	/** `lo:1`; the interface's own name if none was given; IPv6 has none. */
	readonly label?: string;
	/** `host` for 127.0.0.1 and ::1, `global` for VIPs. */
	readonly scope: string;
	/** `l3dsr up` has added it. */
	readonly own?: true;
}

export interface AddressChange {
	readonly kind: "add" | "remove";
	readonly address: Address;
	/** Absent: a single address (/32 or /128). */
	readonly prefixLength?: number;
	/** IPv4, to add. */
	readonly label?: string;
	/** Mark it as added by `l3dsr up`. */
	readonly own?: true;
}

/**
 * Our value of IFA_PROTO, in which the kernel records who added an address. A random choice: nobody assigns these
 * numbers.
 */
const OWN_PROTOCOL = 0x4c;

/** Addresses of `lo` in the kernel's order. Throws LinuxError. */
export function listLoopbackAddresses(): InterfaceAddress[] {
	const { index } = interfaceByName("lo");
	const held = listAddresses();
	const isOwn = ownAddresses(held);
	return held.filter((one) => one.index === index).map((one) => interfaceAddress(one, isOwn));
}

/** An interface and its addresses. */
export interface AddressedInterface {
	readonly name: string;
	/** Its alternative names, which a configuration may use. */
	readonly alternativeNames: readonly string[];
	readonly up: boolean;
	readonly mtu: number;
	/** It has no ARP and no neighbour discovery, so its addresses are not visible there: a dummy, a tunnel. */
	readonly silent?: true;
	/** Type of a virtual device: `bridge`, `veth`. */
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
	// A member of a VRF still receives packets itself.
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
 * Which addresses are ours. Linux 5.18 and later record who added an address (127.0.0.1 has such a record).
 * On older kernels ours are recognized by their form: IPv4 by a numeric label, IPv6 by being deprecated.
 */
function ownAddresses(all: readonly HeldAddress[]): (held: HeldAddress) => boolean {
	if (all.some(({ protocol }) => protocol !== undefined)) return ({ protocol }) => protocol === OWN_PROTOCOL;
	return ({ label, deprecated }) => (label === undefined ? deprecated : /^lo:[0-9]+$/.test(label));
}

/**
 * Makes the changes in order. Throws L3dsrError (KERNEL_*) that names the first change refused; earlier
 * changes remain, so observe again before undoing.
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
			: // An address that nobody else can hold needs no duplicate address detection (which would delay its use by a second). A deprecated address is never chosen as the source of the host's own packets.
				{ index, bytes, prefixLength, noDad: true, preferredS: 0, ...owner },
		netlink,
	);
}

function refusal({ kind, address }: AddressChange, error: unknown): unknown {
	if (!(error instanceof SyscallError)) return error;
	const what = `${kind} ${address.text} ${{ add: "to", remove: "from" }[kind]} lo`;
	const permission = error.errno === ERRNO.EPERM;
	// The kernel's error for an IPv6 address if net.ipv6.conf.lo.disable_ipv6 is 1.
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
