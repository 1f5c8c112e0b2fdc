/**
 * The expressions of a rule: the instructions of the nf_tables virtual machine, as values.
 *
 * Registers have the numbers that the kernel dumps: 1–4 hold 16 bytes, 8–23 hold four bytes each (register 1
 * is 8–11). Values in registers are bytes: in network order if they come from a packet, in host order
 * (little-endian) if the kernel keeps them as numbers, such as a mark.
 */
import type { AnonymousSet, Counter, Verdict } from "./element.ts";
import type {
	BITWISE_OPERATIONS,
	Comparison,
	CT_KEYS,
	EXTHDR_OPERATIONS,
	FIB_FLAGS,
	FIB_RESULTS,
	HASH_TYPES,
	LIMIT_TYPES,
	META_KEYS,
	NUMGEN_TYPES,
	OBJECT_TYPES,
	PAYLOAD_BASES,
	REJECT_TYPES,
} from "./uapi.ts";

export type PayloadBase = keyof typeof PAYLOAD_BASES;
export type MetaKey = keyof typeof META_KEYS;
export type CtKey = keyof typeof CT_KEYS;

/** Loads bytes of the packet into a register. The rule ends without a match if the packet is too short. */
export interface Payload {
	readonly kind: "payload";
	readonly base: PayloadBase;
	/** Bytes from the base. */
	readonly offset: number;
	/** Bytes. */
	readonly length: number;
	readonly register: number;
}

/** Writes a register's bytes to the packet. */
export interface PayloadWrite {
	readonly kind: "payload write";
	readonly base: PayloadBase;
	readonly offset: number;
	readonly length: number;
	readonly register: number;
	/** Offset from the base of an Internet checksum that covers the written bytes. */
	readonly checksum?: number;
	/** The transport checksum covers them too, as part of the pseudo-header. */
	readonly pseudoHeader: boolean;
}

/** Loads metadata of the packet into a register. */
export interface Meta {
	readonly kind: "meta";
	readonly key: MetaKey;
	readonly register: number;
}

export interface MetaWrite {
	readonly kind: "meta write";
	readonly key: MetaKey;
	readonly register: number;
}

/** Continues if the comparison of a register with the value holds; bytes are compared from first to last. */
export interface Compare {
	readonly kind: "compare";
	readonly register: number;
	readonly operator: Comparison;
	readonly value: Uint8Array;
}

/** Continues if a register is inside (or outside) the range; both ends are inclusive. */
export interface Range {
	readonly kind: "range";
	readonly register: number;
	readonly operator: "==" | "!=";
	readonly first: Uint8Array;
	readonly last: Uint8Array;
}

/** destination = (source & mask) ^ xor, or source shifted by a number of bits. */
export type Bitwise = {
	readonly kind: "bitwise";
	readonly source: number;
	readonly register: number;
	/** Bytes. */
	readonly length: number;
} & (
	| { readonly operation: "mask"; readonly mask: Uint8Array; readonly xor: Uint8Array }
	| { readonly operation: Exclude<keyof typeof BITWISE_OPERATIONS, "mask">; readonly bits: Uint8Array }
);

export interface ByteOrder {
	readonly kind: "byteorder";
	readonly source: number;
	readonly register: number;
	readonly operation: "to host" | "to network";
	/** Total length in bytes, and bytes of each number. */
	readonly length: number;
	readonly size: number;
}

/** Continues if a register is (or is not) in a set, or loads a map's data for it. */
export interface Lookup {
	readonly kind: "lookup";
	/** Name of a set or map of the table, or a set that is created and deleted with the rule. */
	readonly set: string | AnonymousSet;
	readonly register: number;
	/** Register for a map's data; 0 for a verdict map. */
	readonly destination?: number;
	readonly negated: boolean;
}

export interface Immediate {
	readonly kind: "immediate";
	readonly register: number;
	readonly value: Uint8Array;
}

export interface VerdictExpression extends Verdict {
	readonly kind: "verdict";
}

export interface CounterExpression extends Counter {
	readonly kind: "counter";
}

/** A lookup in the routing tables (FIB). */
export interface Fib {
	readonly kind: "fib";
	readonly result: keyof typeof FIB_RESULTS;
	readonly flags: readonly (keyof typeof FIB_FLAGS)[];
	readonly register: number;
}

/** Loads a field of an extension header or option, or whether the header is present. */
export interface ExtensionHeader {
	readonly kind: "exthdr";
	readonly operation: keyof typeof EXTHDR_OPERATIONS;
	/** Number of the header or option. */
	readonly type: number;
	readonly offset: number;
	readonly length: number;
	/** Loads one byte: 1 if the header is present, else 0. */
	readonly present: boolean;
	readonly register: number;
}

/** Loads data of connection tracking. */
export interface Ct {
	readonly kind: "ct";
	readonly key: CtKey;
	readonly direction?: "original" | "reply";
	readonly register: number;
}

export interface Limit {
	readonly kind: "limit";
	readonly type: keyof typeof LIMIT_TYPES;
	readonly rate: bigint;
	/** The period of `rate`. */
	readonly perSeconds: bigint;
	readonly burst: number;
	/** Continue if the packet exceeds the limit. */
	readonly over: boolean;
}

export interface Log {
	readonly kind: "log";
	readonly prefix?: string;
	/** NFLOG group; if absent, the packet goes to the kernel log. */
	readonly group?: number;
	readonly snapLength?: number;
	readonly queueThreshold?: number;
	/** Log level of syslog(3). */
	readonly level?: number;
	readonly flags?: number;
}

/** A reference to a named object of the table: `counter name x`. */
export interface ObjectReference {
	readonly kind: "object";
	readonly type: keyof typeof OBJECT_TYPES;
	readonly name: string;
}

export interface Hash {
	readonly kind: "hash";
	readonly type: keyof typeof HASH_TYPES;
	/** The input of jhash: its first register and its length in bytes. */
	readonly source?: number;
	readonly length?: number;
	readonly modulus: number;
	readonly seed?: number;
	readonly offset: number;
	readonly register: number;
}

export interface NumberGenerator {
	readonly kind: "numgen";
	readonly type: keyof typeof NUMGEN_TYPES;
	readonly modulus: number;
	readonly offset: number;
	readonly register: number;
}

export interface Reject {
	readonly kind: "reject";
	readonly type: keyof typeof REJECT_TYPES;
	readonly code?: number;
}

/** A match or target of iptables, created by iptables-nft. */
export interface Xtables {
	readonly kind: "match" | "target";
	readonly name: string;
	readonly revision: number;
	/** The extension's own structure. */
	readonly info: Uint8Array;
}

/**
 * An expression that this package does not know, as the kernel sent it. It can be compared and written again.
 */
export interface OtherExpression {
	readonly kind: "other";
	readonly name: string;
	/** Netlink attributes; absent if the expression has none. */
	readonly data?: Uint8Array;
}

export type Expression =
	| Payload
	| PayloadWrite
	| Meta
	| MetaWrite
	| Compare
	| Range
	| Bitwise
	| ByteOrder
	| Lookup
	| Immediate
	| VerdictExpression
	| CounterExpression
	| Fib
	| ExtensionHeader
	| Ct
	| Limit
	| Log
	| ObjectReference
	| Hash
	| NumberGenerator
	| Reject
	| Xtables
	| OtherExpression;
