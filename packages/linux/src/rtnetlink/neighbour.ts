/** Neighbours over rtnetlink: the link-layer addresses of IP addresses (ARP, neighbour discovery). */
import { type IfIndex, ifIndexOf } from "../if-index.ts";
import { Layout } from "../layout.ts";
import { type Netlink, type NetlinkMessage, NLM_F } from "../netlink.ts";
import { decodeAttributes } from "../netlink-attribute.ts";
import { AF_INET, AF_INET6 } from "../socket.ts";
import { addressText, familyOf, given, nameIn, RTM, withRtnetlink } from "./protocol.ts";

/** struct ndmsg. */
const NDMSG = new Layout({
	family: "u8",
	_pad1: "u8",
	_pad2: "u16",
	index: "s32",
	state: "u16",
	flags: "u8",
	type: "u8",
});
const NDA = { DST: 1, LLADDR: 2 } as const;
/** include/uapi/linux/neighbour.h */
const STATES = {
	none: 0,
	incomplete: 0x01,
	reachable: 0x02,
	stale: 0x04,
	delay: 0x08,
	probe: 0x10,
	failed: 0x20,
	noarp: 0x40,
	permanent: 0x80,
} as const;
export type NeighbourState = keyof typeof STATES;
const NTF_USE = 0x01;
const NTF_PROXY = 0x08;
const NTF_ROUTER = 0x80;

export interface Neighbour {
	/** Index of the interface through which it is reached. */
	readonly index: IfIndex;
	/** 4 or 16, network order. */
	readonly bytes: Uint8Array;
	/** Six bytes on Ethernet; absent while unknown. */
	readonly linkAddress?: Uint8Array;
	/** `reachable`, `stale`, `failed`, `permanent` …; a number if it has no name. */
	readonly state: string;
	readonly router: boolean;
}

export interface NewNeighbour {
	readonly index: IfIndex;
	readonly bytes: ArrayLike<number>;
	readonly linkAddress: ArrayLike<number>;
	/** Default: permanent, which the kernel never resolves again. */
	readonly state?: NeighbourState;
}

export type NeighbourKey = Pick<NewNeighbour, "index" | "bytes">;

/** The neighbours of all interfaces, or of the given one, without proxy entries. Throws SyscallError. */
export function listNeighbours(index?: IfIndex, netlink?: Netlink): readonly Neighbour[] {
	// With strict checking, the kernel accepts no index in a dump request: filter the answer.
	const request = { type: RTM.GETNEIGH, payload: NDMSG.encode({}), doing: "list neighbours" };
	const all = withRtnetlink(netlink, (socket) => socket.dump(request).flatMap(decodeNeighbour));
	return index === undefined ? all : all.filter((one) => one.index === index);
}

/** Adds the neighbour, or changes the existing one. Throws SyscallError. */
export function replaceNeighbour(neighbour: NewNeighbour, netlink?: Netlink): void {
	const { index, bytes, linkAddress, state = "permanent" } = neighbour;
	const payload = Buffer.concat([
		NDMSG.encode({ family: familyOf(bytes), index, state: STATES[state] }),
		given([NDA.DST, Uint8Array.from(bytes)], [NDA.LLADDR, Uint8Array.from(linkAddress)]),
	]);
	const doing = `set neighbour ${addressText(bytes)} on interface ${index}`;
	const flags = NLM_F.CREATE | NLM_F.REPLACE;
	withRtnetlink(netlink, (socket) => socket.change({ type: RTM.NEWNEIGH, flags, payload, doing }));
}

/**
 * Makes the kernel resolve it now (with ARP or a neighbour solicitation), and keep it fresh. Throws
 * SyscallError.
 */
export function resolveNeighbour({ index, bytes }: NeighbourKey, netlink?: Netlink): void {
	const payload = Buffer.concat([
		NDMSG.encode({ family: familyOf(bytes), index, state: STATES.none, flags: NTF_USE }),
		given([NDA.DST, Uint8Array.from(bytes)]),
	]);
	const doing = `resolve neighbour ${addressText(bytes)} on interface ${index}`;
	withRtnetlink(netlink, (socket) =>
		socket.change({ type: RTM.NEWNEIGH, flags: NLM_F.CREATE, payload, doing }),
	);
}

/** Throws SyscallError: ENOENT if it does not exist. */
export function deleteNeighbour({ index, bytes }: NeighbourKey, netlink?: Netlink): void {
	const payload = Buffer.concat([
		NDMSG.encode({ family: familyOf(bytes), index }),
		given([NDA.DST, Uint8Array.from(bytes)]),
	]);
	const doing = `delete neighbour ${addressText(bytes)} from interface ${index}`;
	withRtnetlink(netlink, (socket) => socket.change({ type: RTM.DELNEIGH, payload, doing }));
}

/** Empty for proxy entries, and if the message is not about an IP address. */
export function decodeNeighbour({ payload }: NetlinkMessage): Neighbour[] {
	const { family, index, state, flags } = NDMSG.decode(payload);
	if ((family !== AF_INET && family !== AF_INET6) || (flags & NTF_PROXY) !== 0) return [];
	const attributes = decodeAttributes(payload.subarray(NDMSG.size));
	const bytes = attributes.get(NDA.DST);
	const linkAddress = attributes.get(NDA.LLADDR);
	if (bytes === undefined) return [];
	return [
		{
			index: ifIndexOf(index),
			bytes,
			...(linkAddress === undefined ? {} : { linkAddress }),
			state: nameIn(STATES, state),
			router: (flags & NTF_ROUTER) !== 0,
		},
	];
}
