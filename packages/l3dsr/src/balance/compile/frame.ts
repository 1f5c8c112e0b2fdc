/**
 * Where the director's program keeps what: registers, stack, maps.
 *
 * Everything is one program. A tail call would keep what is unusual out of it, but the kernel empties a program array
 * when the last process that holds it ends (prog_array_map_clear), and the director's program outlives its process.
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

/** What a packet is beside a plain one of TCP or UDP, in the stack's `state`. */
export const STATE = {
	/** The first packet of a TCP connection. */
	begins: 1,
	/** It may not leave an entry in the memory of flows: a RST, an ICMP error, an echo request. */
	leavesNoEntry: 2,
	/** No checksum in it covers the destination. */
	noChecksum: 4,
	udp: 8,
	/** Later fragments of its datagram follow it to its real. */
	firstFragment: 16,
	/** The next hop from the kernel's table, on the stack. */
	hopOnStack: 32,
	/** No next hop: the kernel routes. */
	byKernel: 64,
	/** TCP with SYN and ACK. */
	synAck: 128,
	/** The checksum is UDP's, of which 0 means none. */
	udpChecksum: 256,
} as const;

/**
 * The verifier remembers what number is in the first half of 8 bytes, and goes on once for each: what differs from packet
 * to packet is in second halves.
 */
const SLOTS = struct("stack", {
	context: "pointer",
	/** Headers or options walked over: a number that the verifier has to know, and does for all of 8 bytes. */
	walked: "raw64",
	_first1: "raw32",
	/** STATE bits. */
	state: "raw32",
	_first2: "raw32",
	/** Element of the counters. */
	key: "u32",
	_first3: "raw32",
	/** TICK. */
	now: "raw32",
	_first4: "raw32",
	/** Bytes of the IP packet. */
	length: "u32",
	_first5: "raw32",
	/** A slot of the ring, as it stands there. */
	slot: "raw32",
	_first6: "raw32",
	/** How far a walk has come, from the network header. */
	offset: "raw32",
	_first7: "raw32",
	/** The protocol of the header there. */
	protocol: "raw32",
	_first9: "raw32",
	/** Where the walk ends: the length of an IPv4 header. */
	limit: "raw32",
	_first12: "raw32",
	/** Of an entry in its bucket: by the stack, so that the verifier does not go on once for each of the eight. */
	entry: "raw32",
	_first10: "raw32",
	/** Of a fragment: the identification as it stands in the packet, and what the datagram carries. */
	identification: "raw32",
	_first11: "raw32",
	datagramProtocol: "raw32",
	_first8: "raw32",
	/** Where the frame goes out. */
	ifindex: "u32",
	/** The MAC addresses that it begins with. */
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

/** What every part of the program works with. */
export interface Director {
	readonly p: ProgramBuilder;
	readonly options: ProgramOptions;
	readonly maps: Maps;
	readonly slots: Slots;
	/** Bytes in front of the network header. */
	readonly link: number;
	/** The label at which a packet is counted under its reason, and passed or dropped. */
	readonly leave: (reason: Reason) => Label;
}

/** A packet of one family whose flow is being found out. Each value has one register all the way. */
export interface Packet extends Director {
	readonly family: Family;
	/** Start of the frame, proven to the end of the IP header. Kept. */
	readonly data: Value;
	/** The checksum that covers the destination, proven for 2 bytes; anything, if there is none. Kept. */
	readonly sumAt: Value;
	/** First the client's address, folded; then the hash of the flow. Kept. */
	readonly hash: Value;
	/** The service's entry. Kept. */
	readonly vip: Value;
	/** Client's port in the lower half, VIP's in the upper, as they stand in the packet. */
	readonly ports: Value;
	/** Number of the real: in its service, then in the whole table. */
	readonly real: Value;
}

/** A packet on its way to a real whose entry has been found. */
export interface Forwarded extends Packet {
	/** The real's entry, kept. */
	readonly entry: Value;
}

export function allocateStack(p: ProgramBuilder): Slots {
	return p.stack("stack", SLOTS);
}

/** Where the frame begins and ends, in either context. */
const FRAME_FIELDS = { data: XDP.fields.data, data_end: XDP.fields.data_end };

/** The context, from the stack. */
export function loadContext({ p, slots, options }: Director): View<typeof FRAME_FIELDS> {
	const base = p.load(slots.context, { name: "context" });
	return options.hook === "tc" ? view(base, SKB) : view(base, XDP);
}

/** Slots of a ring. */
export const RING_SLOT = struct("slot", { real: "u16" });
/** By how many entries a group of the VIP table is moved. */
export const SHIFT = struct("group", { shift: "u16" });
/** The first 16 bits of either header: version, header length or class, TOS. */
export const START = struct("header", { start: "be16" });
export const START_RAW = struct("header", { start: "raw16" });
/** Both ports at once, as they stand in memory. */
export const PORTS = struct("ports", { both: "raw32" });
export const ADDRESS4 = struct("address", { word: "raw32" });
export const ADDRESS6 = struct("address", { high: "raw64", low: "raw64" });
export const MACS = struct("macs", { both: { bytes: 12 } });
export const ENTRY64 = struct("entry", { all: "raw64" });
export const TAG = struct("entry", { tag: "raw32", rest: "raw32" });
export const CHECKSUM = struct("transport", { checksum: "be16" });

/** The first four bytes of a place that has more: an IPv4 address in a field for either family. */
export function first4(place: Place): Place {
	return part(place, 0, 4);
}

const ETHERNET_BYTES = 14;
const TAG_BYTES = 4;

/** Bytes of a frame in front of its network header. */
export function linkBytes({ mac, vlan }: Pick<ProgramOptions, "mac" | "vlan">): number {
	if (mac === undefined) return 0;
	return ETHERNET_BYTES + (vlan === undefined ? 0 : TAG_BYTES);
}
