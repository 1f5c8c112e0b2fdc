/**
 * The layout of the director's program: registers, stack and maps.
 *
 * It is a single program. Tail calls could move the rare cases out of it, but the kernel empties a program array when
 * the last process that holds it ends (prog_array_map_clear), and the director's program outlives its process.
 */
import {
	type Label,
	type MapSpec,
	type Place,
	type ProgramBuilder,
	part,
	SKB,
	struct,
	type Value,
	type View,
	view,
	XDP,
} from "@l3dsr/bpf";
import type { Family } from "@l3dsr/packet";
import type { Reason } from "../reason.ts";
import { HEADER, REAL, VIP } from "../tables/layout.ts";
import type { ProgramOptions } from "./options.ts";

export const VIP_ENTRY = VIP;
export const REAL_ENTRY = REAL;
export const HEADER_BYTES = HEADER.size;

/** Bits of the stack's `state`: what is special about a packet. */
export const STATE = {
	/** The first packet of a TCP connection. */
	begins: 1,
	/** The packet may not leave an entry in the memory of flows: a RST, an ICMP error, an echo request. */
	leavesNoEntry: 2,
	/** No checksum in the packet covers the destination. */
	noChecksum: 4,
	udp: 8,
	/** Later fragments of this datagram go to the same real. */
	firstFragment: 16,
	/** The next hop is from the kernel's table, and on the stack. */
	hopOnStack: 32,
	/** No next hop is known: the kernel routes. */
	byKernel: 64,
	/** TCP with SYN and ACK. */
	synAck: 128,
	/** The checksum is UDP's, where 0 means none. */
	udpChecksum: 256,
} as const;

/**
 * The verifier tracks a number stored in the first half of 8 bytes, and explores each value separately. So values that
 * differ between packets are in second halves.
 */
const SLOTS = struct("stack", {
	context: "pointer",
	/** Headers or options walked over. The verifier must know this number, and it does if all 8 bytes are used. */
	walked: "raw64",
	_first1: "raw32",
	/** STATE bits. */
	state: "raw32",
	_first2: "raw32",
	/** Index into the counters. */
	key: "u32",
	_first3: "raw32",
	/** TICK. */
	now: "raw32",
	_first4: "raw32",
	/** Bytes of the IP packet. */
	length: "u32",
	_first5: "raw32",
	/** A slot of the ring, unchanged. */
	slot: "raw32",
	_first6: "raw32",
	/** How far the walk has come, from the network header. */
	offset: "raw32",
	_first7: "raw32",
	/** Protocol of the header at `offset`. */
	protocol: "raw32",
	_first9: "raw32",
	/** Where the walk ends: the length of the IPv4 header. */
	limit: "raw32",
	_first12: "raw32",
	/** Offset of an entry in its bucket; on the stack, so that the verifier does not explore each of the eight. */
	entry: "raw32",
	_first10: "raw32",
	/** A fragment's identification as in the packet, and the protocol of its datagram. */
	identification: "raw32",
	_first11: "raw32",
	datagramProtocol: "raw32",
	_first8: "raw32",
	/** The interface to send the frame from. */
	ifindex: "u32",
	/** The MAC addresses at the start of the frame. */
	macs: { bytes: 12 },
	_end: "raw32",
});

export type Slots = View<typeof SLOTS.fields>;

export interface Maps {
	readonly vips: MapSpec;
	readonly ring: MapSpec;
	readonly before: MapSpec;
	readonly reals: MapSpec;
	readonly flows: MapSpec;
	readonly fragments: MapSpec;
	readonly counters: MapSpec;
}

/** What every part of the program uses. */
export interface Director {
	readonly p: ProgramBuilder;
	readonly options: ProgramOptions;
	readonly maps: Maps;
	readonly slots: Slots;
	/** Bytes before the network header. */
	readonly link: number;
	/** The label that counts a packet for a reason, then passes or drops it. */
	readonly leave: (reason: Reason) => Label;
}

/** A packet of one family whose flow is being determined. Each value keeps its register all the way. */
export interface Packet extends Director {
	readonly family: Family;
	/** Start of the frame, proven to the end of the IP header. Kept. */
	readonly data: Value;
	/** The checksum that covers the destination, proven for 2 bytes; if there is none, any value. Kept. */
	readonly sumAt: Value;
	/** First the folded client address, then the hash of the flow. Kept. */
	readonly hash: Value;
	/** Entry of the service. Kept. */
	readonly vip: Value;
	/** The client's port in the lower half, the VIP's in the upper, in the packet's byte order. */
	readonly ports: Value;
	/** Number of the real: first in its service, then in the whole table. */
	readonly real: Value;
}

/** A packet to forward, whose real's entry has been found. */
export interface Forwarded extends Packet {
	/** Entry of the real. Kept. */
	readonly entry: Value;
}

export function allocateStack(p: ProgramBuilder): Slots {
	return p.stack("stack", SLOTS);
}

/** Start and end of the frame, in either context. */
const FRAME_FIELDS = { data: XDP.fields.data, data_end: XDP.fields.data_end };

/** Loads the context from the stack. */
export function loadContext({ p, slots, options }: Director): View<typeof FRAME_FIELDS> {
	const base = p.load(slots.context, { name: "context" });
	return options.hook === "tc" ? view(base, SKB) : view(base, XDP);
}

/** One slot of a ring. */
export const RING_SLOT = struct("slot", { real: "u16" });
/** How far a group of the VIP table is shifted, in entries. */
export const SHIFT = struct("group", { shift: "u16" });
/** The first 16 bits of either header: version, header length or class, TOS. */
export const START = struct("header", { start: "be16" });
export const START_RAW = struct("header", { start: "raw16" });
/** Both ports in one load, in the packet's byte order. */
export const PORTS = struct("ports", { both: "raw32" });
export const ADDRESS4 = struct("address", { word: "raw32" });
export const ADDRESS6 = struct("address", { high: "raw64", low: "raw64" });
export const MACS = struct("macs", { both: { bytes: 12 } });
export const ENTRY64 = struct("entry", { all: "raw64" });
export const TAG = struct("entry", { tag: "raw32", rest: "raw32" });
export const CHECKSUM = struct("transport", { checksum: "be16" });

/** The first four bytes of a longer field: an IPv4 address in a field for either family. */
export function first4(place: Place): Place {
	return part(place, 0, 4);
}

const ETHERNET_BYTES = 14;
const TAG_BYTES = 4;

/** Bytes of a frame before its network header. */
export function linkBytes({ mac, vlan }: Pick<ProgramOptions, "mac" | "vlan">): number {
	if (mac === undefined) return 0;
	return ETHERNET_BYTES + (vlan === undefined ? 0 : TAG_BYTES);
}
