/**
 * The expressions of a rule: the instructions of nf_tables' virtual machine, as values.
 *
 * Registers are numbered as the kernel dumps them: 1–4 are of 16 bytes, 8–23 of four bytes each (register 1 is
 * 8–11). Values in registers are bytes: in network order where they come from a packet, in the order of the host
 * (little-endian) where the kernel has them as numbers of its own, such as a mark.
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

/** Bytes of the packet into a register. A rule ends without a match when the packet has not got them. */
export interface Payload {
	readonly kind: "payload";
	readonly base: PayloadBase;
	/** Bytes from the base. */
	readonly offset: number;
	/** Bytes. */
	readonly length: number;
	readonly register: number;
}

/** A register's bytes into the packet. */
export interface PayloadWrite {
	readonly kind: "payload write";
	readonly base: PayloadBase;
	readonly offset: number;
	readonly length: number;
	readonly register: number;
	/** Byte of the base at which an Internet checksum stands that covers what is written. */
	readonly checksum?: number;
	/** The transport checksum covers it too, as part of the pseudo-header. */
	readonly pseudoHeader: boolean;
}

/** Something that the kernel knows of the packet, into a register. */
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

/** Goes on where a register compares so with the value, as bytes from the first to the last. */
export interface Compare {
	readonly kind: "compare";
	readonly register: number;
	readonly operator: Comparison;
	readonly value: Uint8Array;
}

/** Goes on where a register is within the two values (both inclusive), or outside. */
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
	/** Bytes in all, and of each number. */
	readonly length: number;
	readonly size: number;
}

/** Goes on where a register is (not) in a set, or loads what a map has for it. */
export interface Lookup {
	readonly kind: "lookup";
	/** Name of a set or map of the table, or one that is made with the rule and goes with it. */
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

/** A look into the routing tables. */
export interface Fib {
	readonly kind: "fib";
	readonly result: keyof typeof FIB_RESULTS;
	readonly flags: readonly (keyof typeof FIB_FLAGS)[];
	readonly register: number;
}

/** A field of an extension header or option, or whether it is there. */
export interface ExtensionHeader {
	readonly kind: "exthdr";
	readonly operation: keyof typeof EXTHDR_OPERATIONS;
	/** Number of the header or option. */
	readonly type: number;
	readonly offset: number;
	readonly length: number;
	/** Loads one byte: 1 where the header is there. */
	readonly present: boolean;
	readonly register: number;
}

/** Of connection tracking. */
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
	/** The time for `rate`. */
	readonly perSeconds: bigint;
	readonly burst: number;
	/** Goes on where the limit is passed. */
	readonly over: boolean;
}

export interface Log {
	readonly kind: "log";
	readonly prefix?: string;
	/** Of NFLOG; without one it is the kernel's own log. */
	readonly group?: number;
	readonly snapLength?: number;
	readonly queueThreshold?: number;
	/** As in syslog(3). */
	readonly level?: number;
	readonly flags?: number;
}

/** A named object of the table: `counter name x`. */
export interface ObjectReference {
	readonly kind: "object";
	readonly type: keyof typeof OBJECT_TYPES;
	readonly name: string;
}

export interface Hash {
	readonly kind: "hash";
	readonly type: keyof typeof HASH_TYPES;
	/** Of jhash: where its input begins, and how many bytes it has. */
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

/** A match or target of iptables, made by iptables-nft. */
export interface Xtables {
	readonly kind: "match" | "target";
	readonly name: string;
	readonly revision: number;
	/** The extension's own structure. */
	readonly info: Uint8Array;
}

/** What this package does not know, as it came: it can be written again, and compared. */
export interface OtherExpression {
	readonly kind: "other";
	readonly name: string;
	/** Netlink attributes; absent where the expression has none. */
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
