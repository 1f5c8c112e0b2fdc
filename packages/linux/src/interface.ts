/** Network interfaces from rtnetlink (not from /sys, which may belong to another namespace). */

import { ERRNO } from "./errno.ts";
import { LinuxError } from "./error.ts";
import { type IfIndex, ifIndexOf } from "./if-index.ts";
import { Layout } from "./layout.ts";
import { SyscallError } from "./libc.ts";
import { Netlink, type NetlinkMessage } from "./netlink.ts";
import {
	type Attributes,
	attribute,
	attributeSequence,
	decodeAttributes,
	textAttribute,
	textOf,
	textValue,
	u32Attribute,
} from "./netlink-attribute.ts";
import { withRtnetlink } from "./rtnetlink/protocol.ts";

export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_LINK_NETNSID = 37;
const IFLA_PROP_LIST = 52;
const IFLA_ALT_IFNAME = 53;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_VLAN_ID = 1;
export const IFLA_XDP = 43;
const IFLA_XDP_ATTACHED = 2;

const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_NOARP = 0x80;
const IFF_LOWER_UP = 0x10000;

/** IFNAMSIZ and ALTIFNAMSIZ without the terminating zero. */
const NAME_BYTES = 15;
const ALTERNATIVE_NAME_BYTES = 127;

/** struct ifinfomsg. */
export const IFINFOMSG = new Layout({
	family: "u8",
	_pad: "u8",
	type: "u16",
	index: "s32",
	flags: "u32",
	change: "u32",
});

/**
 * ARPHRD_* types whose packets reach tc with an Ethernet header (include/uapi/linux/if_arp.h): 1 Ethernet and
 * 772 loopback. On all others (tun, wireguard, ipip, ppp, rawip …), packets begin with the network header or
 * another link-layer header.
 */
const ETHERNET_TYPES: ReadonlySet<number> = new Set([1, 772]);

export interface NetInterface {
	readonly index: IfIndex;
	readonly name: string;
	/** Further names (`ip link property add`), which every command accepts instead of the name. */
	readonly alternativeNames: readonly string[];
	/** ARPHRD_*: 1 Ethernet, 772 loopback, 65534 none (tun, wireguard). */
	readonly type: number;
	/** Packets begin with a 14-byte Ethernet header. */
	readonly ethernet: boolean;
	readonly up: boolean;
	readonly loopback: boolean;
	/** It resolves addresses by ARP and neighbour discovery; false for dummies and tunnels (IFF_NOARP). */
	readonly arp: boolean;
	/** Bytes. */
	readonly mtu: number;
	/** It has an XDP program in any mode. */
	readonly xdp: boolean;
	/** Kind of a virtual device (`veth`, `tun`, `vlan`, `bond`); absent for hardware. */
	readonly kind?: string;
	/** It can send and receive: the cable is plugged in, the peer is up. */
	readonly carrier: boolean;
	/** Six bytes on Ethernet. */
	readonly linkAddress: Uint8Array;
	/** Index of the associated interface in this namespace: the parent of a VLAN, the peer of a veth. */
	readonly linkedTo?: IfIndex;
	/** VLAN devices only: the VLAN id of their frames. */
	readonly vlanId?: number;
	/** Index of the bridge, bond or VRF that it belongs to. */
	readonly master?: number;
}

/**
 * The interface with that name, or alternative name, in this namespace. Throws LinuxError (SYSCALL) if there
 * is none.
 */
export function interfaceByName(name: string): NetInterface {
	const doing = `look up interface ${name}`;
	const bytes = Buffer.byteLength(name);
	// The kernel would answer ERANGE to a longer name.
	if (name === "" || name.includes("\0") || bytes > ALTERNATIVE_NAME_BYTES) {
		throw new LinuxError("SYSCALL", `${doing}: not a name that an interface can have`);
	}
	const type = bytes > NAME_BYTES ? IFLA_ALT_IFNAME : IFLA_IFNAME;
	return lookUp(IFINFOMSG.encode({}), attribute(type, textValue(name)), doing);
}

/** The interface with that index in this namespace. Throws LinuxError (SYSCALL) if there is none. */
export function interfaceByIndex(index: IfIndex): NetInterface {
	return lookUp(IFINFOMSG.encode({ index }), new Uint8Array(0), `look up interface number ${index}`);
}

/** All interfaces of this namespace, in the order of their indexes. */
export function listInterfaces(netlink?: Netlink): readonly NetInterface[] {
	const request = { type: RTM_GETLINK, payload: IFINFOMSG.encode({}), doing: "list interfaces" };
	const messages = withRtnetlink(netlink, (socket) => socket.dump(request));
	return messages.map(decodeInterface).sort((a, b) => a.index - b.index);
}

function lookUp(fixed: Uint8Array, attributes: Uint8Array, doing: string): NetInterface {
	using netlink = new Netlink();
	try {
		const payload = Buffer.concat([fixed, attributes]);
		return decodeInterface(netlink.get({ type: RTM_GETLINK, payload, doing }));
	} catch (error) {
		if (error instanceof SyscallError && error.errno === ERRNO.ENODEV) {
			throw new LinuxError("SYSCALL", `${doing}: ENODEV (there is no such interface)`, { cause: error });
		}
		throw error;
	}
}

/** The fixed part and the attributes of a link message. */
export function decodeLinkMessage(message: NetlinkMessage): {
	readonly fixed: ReturnType<typeof IFINFOMSG.decode>;
	readonly attributes: Attributes;
} {
	return {
		fixed: IFINFOMSG.decode(message.payload),
		attributes: decodeAttributes(message.payload.subarray(IFINFOMSG.size)),
	};
}

/** Decodes a message RTM_NEWLINK or RTM_DELLINK. */
export function decodeInterface(message: NetlinkMessage): NetInterface {
	const { fixed, attributes } = decodeLinkMessage(message);
	const info = attributes.get(IFLA_LINKINFO);
	const infos = info === undefined ? undefined : decodeAttributes(info);
	const kind = infos === undefined ? undefined : textAttribute(infos, IFLA_INFO_KIND);
	const vlanId = kind === "vlan" ? vlanIdOf(infos?.get(IFLA_INFO_DATA)) : undefined;
	const xdp = attributes.get(IFLA_XDP);
	const properties = attributes.get(IFLA_PROP_LIST);
	// The index of an interface in another namespace has no meaning here.
	const linkedTo = attributes.has(IFLA_LINK_NETNSID) ? 0 : (u32Attribute(attributes, IFLA_LINK) ?? 0);
	const master = u32Attribute(attributes, IFLA_MASTER) ?? 0;
	return {
		index: ifIndexOf(fixed.index),
		name: textAttribute(attributes, IFLA_IFNAME) ?? "",
		alternativeNames: properties === undefined ? [] : alternativeNames(properties),
		type: fixed.type,
		ethernet: ETHERNET_TYPES.has(fixed.type),
		up: (fixed.flags & IFF_UP) !== 0,
		loopback: (fixed.flags & IFF_LOOPBACK) !== 0,
		arp: (fixed.flags & IFF_NOARP) === 0,
		mtu: u32Attribute(attributes, IFLA_MTU) ?? 0,
		xdp: xdp !== undefined && (decodeAttributes(xdp).get(IFLA_XDP_ATTACHED)?.[0] ?? 0) !== 0,
		...(kind === undefined ? {} : { kind }),
		carrier: (fixed.flags & IFF_LOWER_UP) !== 0,
		linkAddress: attributes.get(IFLA_ADDRESS) ?? new Uint8Array(),
		...(linkedTo === 0 || linkedTo === fixed.index ? {} : { linkedTo: ifIndexOf(linkedTo) }),
		...(vlanId === undefined ? {} : { vlanId }),
		...(master === 0 ? {} : { master }),
	};
}

function vlanIdOf(data: Uint8Array | undefined): number | undefined {
	const id = data === undefined ? undefined : decodeAttributes(data).get(IFLA_VLAN_ID);
	return id === undefined ? undefined : (id[0] ?? 0) | ((id[1] ?? 0) << 8);
}

function alternativeNames(properties: Uint8Array): string[] {
	return attributeSequence(properties)
		.filter(({ type }) => type === IFLA_ALT_IFNAME)
		.map(({ value }) => textOf(value));
}
