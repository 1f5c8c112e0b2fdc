/** Where a generated program keeps what: registers, stack, kinds of transport, and the layout of its maps. */
import { type MapSpec, type Place, type ProgramBuilder, part, struct, type View, view } from "@l3dsr/bpf";
import type { Prefix } from "@l3dsr/packet";
import {
	type ProgramMaps as AnyMaps,
	type Packet as AnyPacket,
	type ParsedPacket as AnyParsedPacket,
	type Stack as AnyStack,
	PORTS,
} from "../../../programs/packet.ts";
import type { Quote } from "../../../programs/quote.ts";
import type { CompileTarget } from "./target.ts";

/** A packet of one family on its way through the rules. */
export interface Packet extends AnyPacket {
	readonly target: CompileTarget;
	readonly stack: Stack;
	readonly maps: ProgramMaps;
	/** The host's own prefixes of this family. */
	readonly local: readonly Prefix[];
	/** What an ICMP error quotes, where a rule asks. */
	readonly quote?: Quote;
}

/** A packet whose headers have been read, extension headers and all. */
export type ParsedPacket = Packet & AnyParsedPacket;

/** What rules asked for so far. */
export const ACTION = { rewrite: 1, clearDscp: 2, setPort: 4, setQuotedPort: 8 } as const;

/**
 * The verifier remembers what number is in the first half of 8 bytes, and goes on once for each: what differs from
 * packet to packet, and from rule to rule, is in second halves.
 */
const SLOTS = struct("stack", {
	/** Extension headers walked over so far: a number that the verifier has to know, and does for all of 8 bytes. */
	walked: "u64",
	/** Of the counter map. */
	key: "u32",
	/** Bytes of the IP packet. */
	length: "u32",
	/** Flags of a helper, across a call. */
	flags: "u32",
	/** What `-p` compares with (IPv6); NO_PROTOCOL if there is none. */
	protocol: "u32",
	_first1: "u32",
	/** ACTION bits. */
	actions: "u32",
	_first2: "u32",
	/** The TOS byte as the rules so far left it. */
	tos: "u32",
	_first3: "u32",
	/** Whether the destination, as the rules so far left it, is one of this host's. */
	destinationLocal: "u32",
	_first4: "u32",
	/** Of the new IPv6 address: the complement of its sum. */
	addressComplement: "u32",
	_first5: "u32",
	/** Whether the packet has ports at all. */
	hasPorts: "u32",
	_first6: "u32",
	/** Where in the transport header the checksum is that follows a port; 0 if no port can be set. */
	portChecksum: "u32",
	_first7: "u32",
	/** Other than 0: a routing header that has been walked over has segments left. */
	routed: "u32",
	_first8: "u32",
	/** Offset of the transport checksum from the start of the packet. */
	checksumOffset: "u32",
	_first9: "u32",
	/** Slot that counts why the transport header is out of reach; NOTHING_WRONG. */
	malformed: "u32",
	_first10: "u32",
	/** How the packet's checksum stands (checksum-state.ts). */
	checksumState: "u32",
});

/** What is copied out of the packet; in second halves as well, however it came there. */
const COPIED = struct("copied", {
	_first1: "u32",
	arrivedPort: "be16",
	field: "be16",
	_first2: "u32",
	extension: { bytes: 4 },
	_first3: "u32",
	ports: { bytes: 4 },
});

/** Named places on the stack; each is written before the program reads it. */
export interface Stack extends AnyStack {
	readonly slots: View<typeof SLOTS.fields>;
	/** The destination as the rules so far left it. */
	readonly address: Place;
}

export function allocateStack(p: ProgramBuilder): Stack {
	const slots = p.stack("stack", SLOTS);
	const address = p.stack("address", struct("address", { bytes: { bytes: 16 } })).bytes;
	const { arrivedPort, field, extension, ports } = p.stack("copied", COPIED);
	return { slots, address, ports: view(ports.base, PORTS, ports.offset), arrivedPort, field, extension };
}

/** The 32-bit word at `index` of an address, in memory order. */
export function word(address: Place, index: number): Place {
	return part(address, 4 * index, 4);
}

/** Maps that the program may use. */
export interface ProgramMaps extends AnyMaps {
	readonly rules: MapSpec;
	readonly local: MapSpec;
}
