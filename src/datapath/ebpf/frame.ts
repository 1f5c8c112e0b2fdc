/** Where a generated program keeps what: registers, stack, kinds of transport, and the layout of its maps. */
import type { Register } from "../../bpf/asm/index.ts";

/** Registers that live through helper calls. */
export const CTX: Register = 6;
/** Start of the packet; once the address is stored, the checksum difference (32 bits, ones' complement). */
export const PACKET: Register = 7;
export const DIFFERENCE: Register = 7;
/** Offset of the transport header from the start of the packet. */
export const TRANSPORT: Register = 8;
/** Protocol of the transport header, and the KIND bits that say why it cannot be used. */
export const KIND: Register = 9;
export const FP: Register = 10;

export const KIND_BIT = {
	/** No transport header here: a later fragment. */
	laterFragment: 0x100,
	/** A routing header with segments left: the pseudo-header has another destination. */
	routedFurther: 0x200,
	/** IPv6 UDP whose checksum is 0, "none". */
	noChecksum: 0x400,
	/** The chain of extension headers is cut short, or longer than the program walks. */
	chainCut: 0x800,
	chainLong: 0x1000,
} as const;

/** Stack slots, as offsets from the frame pointer. */
export const STACK = {
	/** u32: key of the counter map. */
	key: -4,
	/** u32: bytes of the IP packet. */
	length: -8,
	/** be16 each: the ports that rules compare with. */
	sourcePort: -12,
	destinationPort: -10,
	/** u32: whether the packet has ports at all. */
	hasPorts: -16,
	/** u32: what `-p` compares with (IPv6); NO_PROTOCOL if there is none. */
	protocol: -20,
	/** u32: ACTION bits that the rules so far asked for. */
	actions: -24,
	/** u32: the TOS byte as the rules so far left it. */
	tos: -28,
	/** be16: destination port that the packet came with. */
	arrivedPort: -32,
	/** u32: whether `--set-dport` can write it (with its checksum). */
	portWritable: -36,
	/** u32: folded sum of the new IPv6 address. */
	addressSum: -40,
	/** 16 bytes (IPv4: the first 4): the destination as the rules so far left it. */
	address: -56,
	/** 8 bytes: header bytes that a helper copied out of the packet. */
	scratch: -64,
	/** u32: whether the destination, as the rules so far left it, is one of this host's. */
	destinationLocal: -68,
	/** u64: extension headers walked over so far (all 8 bytes, or the verifier does not know it for a constant). */
	walked: -80,
} as const;

export const ACTION = { rewrite: 1, clearDscp: 2, setPort: 4 } as const;

/** In STACK.protocol: neither `-p X` nor `! -p X` matches. */
export const NO_PROTOCOL = 0xffff_ffff;

export const MAP = {
	rules: "l3dsr_rules",
	counters: "l3dsr_count",
	base: "l3dsr_base",
	/** The host's own addresses, where they are too many to be compared one by one. */
	local: { ipv4: "l3dsr_local4", ipv6: "l3dsr_local6" },
} as const;

/** Value of MAP.rules: this header, the two tables (64 entries each), then the text of `text` bytes. */
export const RULES_LAYOUT = {
	/** "L3DS" as bytes. */
	magic: [0x4c, 0x33, 0x44, 0x53],
	versionOffset: 4,
	textOffsetOffset: 8,
	textLengthOffset: 12,
	tablesOffset: 16,
	/** address 4, slot u32 */
	ipv4EntryBytes: 8,
	/** address 16, folded sum of the address u32, slot u32 */
	ipv6EntryBytes: 24,
} as const;

/** Value of MAP.counters (per CPU) and MAP.base: packets u64, bytes u64. */
export const COUNTER_BYTES = 16;
