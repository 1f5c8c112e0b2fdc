/** The layout of a generated program: registers, stack, kinds of transport, and its maps. */
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
	/** What an ICMP error quotes, if a rule needs it. */
	readonly quote?: Quote;
}

/** A packet whose headers have been read, including extension headers. */
export type ParsedPacket = Packet & AnyParsedPacket;

/** What the rules so far asked for, as bits. */
export const ACTION = { rewrite: 1, clearDscp: 2, setPort: 4, setQuotedPort: 8 } as const;

/**
 * The verifier tracks a number stored in the first half of 8 bytes, and explores each value separately. So values
 * that differ between packets or rules are in second halves.
 */
const SLOTS = struct("stack", {
	/** Extension headers walked over so far. The verifier must know this number, and it does if all 8 bytes are used. */
	walked: "u64",
	/** Key of the counter map. */
	key: "u32",
	/** Bytes of the IP packet. */
	length: "u32",
	/** Flags of a helper, kept across a call. */
	flags: "u32",
	/** What `-p` compares with (IPv6); NO_PROTOCOL if there is none. */
	protocol: "u32",
	_first1: "u32",
	/** ACTION bits. */
	actions: "u32",
	_first2: "u32",
	/** The TOS byte as changed by the rules so far. */
	tos: "u32",
	_first3: "u32",
	/** Whether the current destination is an address of this host. */
	destinationLocal: "u32",
	_first4: "u32",
	/** For the new IPv6 address: the complement of its sum. */
	addressComplement: "u32",
	_first5: "u32",
	/** Whether the packet has ports. */
	hasPorts: "u32",
	_first6: "u32",
	/** Offset in the transport header of the checksum that covers a port; 0 if no port can be set. */
	portChecksum: "u32",
	_first7: "u32",
	/** Not 0: a routing header that was walked over has segments left. */
	routed: "u32",
	_first8: "u32",
	/** Offset of the transport checksum from the start of the packet. */
	checksumOffset: "u32",
	_first9: "u32",
	/** Slot that counts why the transport header cannot be reached, or NOTHING_WRONG. */
	malformed: "u32",
	_first10: "u32",
	/** State of the packet's checksum (checksum-state.ts). */
	checksumState: "u32",
});

/** Values copied from the packet; also in second halves. */
const COPIED = struct("copied", {
	_first1: "u32",
	arrivedPort: "be16",
	field: "be16",
	_first2: "u32",
	extension: { bytes: 4 },
	_first3: "u32",
	ports: { bytes: 4 },
});

/** Named places on the stack; the program writes each before it reads it. */
export interface Stack extends AnyStack {
	readonly slots: View<typeof SLOTS.fields>;
	/** The destination as changed by the rules so far. */
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
