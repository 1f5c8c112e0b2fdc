/** Creates, changes and deletes interfaces over rtnetlink. */
import type { IfIndex } from "../if-index.ts";
import { IFINFOMSG } from "../interface.ts";
import { type Netlink, NLM_F } from "../netlink.ts";
import { attribute, nestedAttribute, textValue, u32Value } from "../netlink-attribute.ts";
import type { NetworkNamespace } from "../network-namespace.ts";
import { given, RTM, withRtnetlink } from "./protocol.ts";

const IFLA = {
	ADDRESS: 1,
	IFNAME: 3,
	MTU: 4,
	LINK: 5,
	MASTER: 10,
	LINKINFO: 18,
	NET_NS_FD: 28,
	PROP_LIST: 52,
	ALT_IFNAME: 53,
} as const;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_VLAN_ID = 1;
const IFF_UP = 1;

/** Settings that any new interface can have from the start. */
export interface LinkSettings {
	/** At most 15 bytes. */
	readonly name: string;
	/** Default: the kernel's choice. */
	readonly index?: number;
	readonly up?: boolean;
	/** Bytes. */
	readonly mtu?: number;
	/** Six bytes on Ethernet. */
	readonly linkAddress?: ArrayLike<number>;
	/** The namespace in which it is created. Default: the namespace of this thread. */
	readonly namespace?: NetworkNamespace;
}

/** An interface to create. */
export type NewLink = LinkSettings &
	(
		| { readonly kind: "dummy" | "bridge" }
		/**
		 * Two connected interfaces: a packet sent by one is received by the other. The kernel does not set
		 * the peer up.
		 */
		| { readonly kind: "veth"; readonly peer: Omit<LinkSettings, "up"> }
		/** 802.1Q, on the interface with index `parent`; `id` is 1 to 4094. */
		| { readonly kind: "vlan"; readonly parent: IfIndex; readonly id: number }
	);

/** Missing fields stay as they are. */
export interface LinkChange {
	readonly up?: boolean;
	/** Kernels before 6.2 rename only interfaces that are down. */
	readonly name?: string;
	readonly mtu?: number;
	readonly linkAddress?: ArrayLike<number>;
	/** Index of the bridge, bond or VRF to join; 0 leaves it. */
	readonly master?: number;
	/** Moves the interface there; it loses its addresses. */
	readonly namespace?: NetworkNamespace;
}

/** Throws SyscallError: EEXIST if the name is taken, EOPNOTSUPP if the kernel lacks the kind. */
export function createLink(link: NewLink, netlink?: Netlink): void {
	const payload = Buffer.concat([
		header(link),
		settings(link),
		link.kind === "vlan" ? attribute(IFLA.LINK, u32Value(link.parent)) : new Uint8Array(),
		nestedAttribute(IFLA.LINKINFO, attribute(IFLA_INFO_KIND, textValue(link.kind)), infoData(link)),
	]);
	const doing = `create ${link.kind} interface ${link.name}`;
	const flags = NLM_F.CREATE | NLM_F.EXCL;
	withRtnetlink(netlink, (socket) => socket.change({ type: RTM.NEWLINK, flags, payload, doing }));
}

/** Throws SyscallError: ENODEV if there is no interface with that index. */
export function changeLink(index: IfIndex, change: LinkChange, netlink?: Netlink): void {
	const payload = Buffer.concat([
		header({ index, ...change }),
		settings(change),
		given([IFLA.MASTER, change.master === undefined ? undefined : u32Value(change.master)]),
	]);
	const doing = `change interface ${index}`;
	withRtnetlink(netlink, (socket) => socket.change({ type: RTM.NEWLINK, payload, doing }));
}

/** Deletes a virtual interface, and the peer of a veth. Throws SyscallError: EOPNOTSUPP for hardware. */
export function deleteLink(index: IfIndex, netlink?: Netlink): void {
	const doing = `delete interface ${index}`;
	const payload = IFINFOMSG.encode({ index });
	withRtnetlink(netlink, (socket) => socket.change({ type: RTM.DELLINK, payload, doing }));
}

/** Adds another name of at most 127 bytes (Linux 5.5). Throws SyscallError: EEXIST if it is taken. */
export function addAlternativeName(index: IfIndex, name: string, netlink?: Netlink): void {
	changeProperty(RTM.NEWLINKPROP, NLM_F.CREATE | NLM_F.EXCL | NLM_F.APPEND, index, name, "add", netlink);
}

/** Throws SyscallError: ENOENT if the interface does not have that name. */
export function deleteAlternativeName(index: IfIndex, name: string, netlink?: Netlink): void {
	changeProperty(RTM.DELLINKPROP, 0, index, name, "delete", netlink);
}

function changeProperty(
	type: number,
	flags: number,
	index: IfIndex,
	name: string,
	verb: string,
	netlink: Netlink | undefined,
): void {
	const payload = Buffer.concat([
		IFINFOMSG.encode({ index }),
		nestedAttribute(IFLA.PROP_LIST, attribute(IFLA.ALT_IFNAME, textValue(name))),
	]);
	const doing = `${verb} alternative name ${name} of interface ${index}`;
	withRtnetlink(netlink, (socket) => socket.change({ type, flags, payload, doing }));
}

function header({ index, up }: { readonly index?: number; readonly up?: boolean }): Uint8Array {
	const flags = up === true ? IFF_UP : 0;
	return IFINFOMSG.encode({ index: index ?? 0, flags, change: up === undefined ? 0 : IFF_UP });
}

function settings({ name, mtu, linkAddress, namespace }: Partial<LinkSettings>): Uint8Array {
	return given(
		[IFLA.IFNAME, name === undefined ? undefined : textValue(name)],
		[IFLA.MTU, mtu === undefined ? undefined : u32Value(mtu)],
		[IFLA.ADDRESS, linkAddress === undefined ? undefined : Uint8Array.from(linkAddress)],
		[IFLA.NET_NS_FD, namespace === undefined ? undefined : u32Value(namespace.fd)],
	);
}

function infoData(link: NewLink): Uint8Array {
	switch (link.kind) {
		case "veth":
			return nestedAttribute(
				IFLA_INFO_DATA,
				attribute(VETH_INFO_PEER, Buffer.concat([header(link.peer), settings(link.peer)])),
			);
		case "vlan": {
			if (!Number.isInteger(link.id) || link.id < 1 || link.id > 4094) {
				throw new RangeError(`a VLAN is 1 to 4094, not ${link.id}`);
			}
			const id = Uint8Array.of(link.id & 0xff, link.id >> 8);
			return nestedAttribute(IFLA_INFO_DATA, attribute(IFLA_VLAN_ID, id));
		}
		default:
			return new Uint8Array();
	}
}
