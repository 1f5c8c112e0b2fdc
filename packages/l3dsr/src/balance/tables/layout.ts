/**
 * What the director's program and its control plane share, byte by byte: one-element array maps in shared memory.
 * Each begins with a header. Raise SCHEMA with any change of a layout, a field's meaning or a hash.
 *
 * Numbers are in the machine's byte order (little-endian), except where they are as in a packet.
 */
import type { MapSpec } from "@l3dsr/bpf";
import { BPF_MAP_FLAG, struct } from "@l3dsr/bpf";
import { COUNTER } from "../../programs/count.ts";
import { RING_SLOTS } from "../ring.ts";

/** "L3DB". */
export const MAGIC = 0x4244_334c;
export const SCHEMA = 1;

/** At the start of every table; one cache line, so that the entries are aligned to cache lines. */
export const HEADER = struct("header", {
	magic: "u32",
	schema: "u32",
	/** Increases with each change. */
	generation: "u64",
	/** VIP table: multiplier of the hash that finds its entries without collisions. */
	multiplier: "u64",
	/** VIP table: log2 of its number of entries. */
	bits: "u32",
	_pad: { bytes: 36 },
});

/** The kind of a VIP table entry; 0: free. */
export const KIND = { service: 1, vip: 2, real: 3 } as const;
/** In a VIP's entry: what answers a ping. */
export const ECHO = { kernel: 0, reply: 1, server: 2 } as const;

/**
 * An entry of the VIP table, one cache line: a service; a VIP by its address alone (its service fields are those of
 * its first service); or a real server by its address.
 */
export const VIP = struct("vip", {
	/** IPv4: in the first four bytes. */
	address: { bytes: 16 },
	/** `port | protocol << 16 | version << 24`, with the port in packet byte order; see matchOf. */
	match: "u32",
	/** Offset of its slots in both rings, in bytes. */
	ring: "u32",
	/** Number of its first real, and how many numbers it owns. */
	first: "u32",
	room: "u32",
	/** The start of its hashes. */
	seed: "u64",
	/** Mask of the ports in the hash: all bits, or none. */
	ports: "u32",
	/** TICK when the transition began, and when it last changed. */
	since: "u32",
	changed: "u32",
	/** KIND, ECHO. */
	kind: "u8",
	echo: "u8",
	/** Service: the number of its ring. */
	number: "u16",
	/** Real server: a bit for each code that packets from outside must not carry to it. */
	codes: "u64",
});

/** Bits of a real's `flags`. */
export const REAL_FLAG = {
	/** It takes packets of its flows. */
	up: 1,
	/** The number is taken: the real is configured, or slots and flows still refer to it. */
	used: 2,
	/**
	 * Its latest health check failed. The program ignores this bit; it is for a process that changes the tables without
	 * running checks.
	 */
	failing: 4,
	/** Like `failing`: it is new, and none of its checks has succeeded yet. */
	starting: 8,
} as const;

/** Special values of a real's `ifindex`: no next hop is known; the kernel routes. */
export const HOP = { unresolved: 0, kernel: 0xffff_ffff } as const;

/** A real server of one service, one cache line: everything that rewriting needs. */
export const REAL = struct("real", {
	address: { bytes: 16 },
	/** Complement of the ones' complement sum of the address's 32-bit words. */
	complement: "u32",
	/** The DSCP, in its place in the first 16 bits of the header. */
	start: "be16",
	flags: "u16",
	/** MAC addresses of the next hop and of our interface, in the order of a frame. */
	nextHop: { bytes: 6 },
	ownMac: { bytes: 6 },
	/** The interface to send from, or one of HOP. */
	ifindex: "u32",
	/** The largest IP packet that fits. */
	mtu: "u32",
	/** TICK when the real was removed from the configuration. */
	left: "u32",
	/** What earlier counters had counted for this real, minus what its number had counted before it. */
	basePackets: "u64",
	baseBytes: "u64",
});

/** Eight 64-bit entries, one cache line, in the memories of flows and of fragments. */
export const BUCKET_ENTRIES = 8;
export const BUCKET_BYTES = 64;

/**
 * An entry of the memory of flows: `tag | real << 32 | confirmed << 47 | tick << 48`. The tag is never 0, because an
 * entry of 0 is free.
 */
export const FLOW_BITS = { real: 32, confirmed: 47, tick: 48 } as const;
/** An entry of the memory of fragments: `tag | number of the real << 32 | tick << 52`. */
export const FRAGMENT_BITS = { real: 32, tick: 52 } as const;
/** Entries have 20 bits for the number of a real. */
export const MOST_NUMBERS = 1 << 20;

/** Time in the tables: CLOCK_MONOTONIC in units of 2^30 ns, about one second. */
export const TICK_SHIFT = 30;

/** How long a datagram's later fragments may take, in ticks (ipfrag_time; at most 60 s in RFC 8200). */
export const FRAGMENT_TICKS = 28;
/** How long unknown UDP flows follow a slot's previous real, in ticks. */
export const UDP_TICKS = 28;
/** With `flows: always`, an entry that was idle this long is not trusted, in ticks. */
export const ALWAYS_TICKS = 3600;

/**
 * The counters. The first of them count reasons (reason.ts), and no real has their numbers. The entries with these
 * numbers in the table of reals hold only the bases of those counters.
 */
export const REASON_SLOTS = 32;

export const MAP = {
	vips: "l3db_vips",
	ring: "l3db_ring",
	before: "l3db_before",
	reals: "l3db_reals",
	flows: "l3db_flows",
	fragments: "l3db_frags",
	counters: "l3db_count",
} as const;
/** In addition to the tables, each program has a map that says what it was compiled for (compile/about.ts). */
export const ABOUT_MAP = "l3db_about";

/** The sizes of the tables. */
export interface Capacity {
	/** log2 of the VIP table's number of entries. */
	readonly vipBits: number;
	readonly rings: number;
	/** Numbers for reasons and for the reals of all services. */
	readonly reals: number;
	/** log2 of the memories' numbers of buckets. */
	readonly flowBits: number;
	readonly fragmentBits: number;
}

/** 8 MB: a million flows. */
export const FLOW_BITS_DEFAULT = 17;
/** 256 kB: 32,000 datagrams at a time. */
export const FRAGMENT_BITS_DEFAULT = 12;

export const RING_BYTES = RING_SLOTS * 2;

/** The number of services whose rings fit into a table of this many bytes. */
export function ringsWithin(bytes: number): number {
	return Math.floor((bytes - HEADER.size) / RING_BYTES);
}

/** log2 of the number of buckets that fit into this many bytes. */
export function bucketBitsWithin(bytes: number): number {
	return Math.floor(Math.log2((bytes - HEADER.size) / BUCKET_BYTES));
}

/** log2 of the number of groups in a VIP table with 2^`bits` entries: a quarter of the entries. */
export function groupBitsOf(bits: number): number {
	return Math.max(1, bits - 2);
}

/**
 * log2 of the number of bits in the filter, which follows the header. It excludes most destinations that are not in
 * the VIP table for a fraction of a lookup's cost: a bit is set if an address with that bit is in the table.
 */
export const FILTER_BITS = 12;
const FILTER_BYTES = 2 ** FILTER_BITS / 8;

/** Offset of the groups' shifts, 16 bits each. */
export const SHIFTS_AT = HEADER.size + FILTER_BYTES;

/** Offset of the VIP table's entries, at a cache line. */
export function entriesAt(bits: number): number {
	return SHIFTS_AT + Math.ceil((2 * 2 ** groupBitsOf(bits)) / VIP.size) * VIP.size;
}

export type TableSpecs = Readonly<Record<keyof typeof MAP, MapSpec>>;

/** Empty maps of these sizes. */
export function tableSpecs({ vipBits, rings, reals, flowBits, fragmentBits }: Capacity): TableSpecs {
	return {
		vips: table(MAP.vips, entriesAt(vipBits) - HEADER.size + VIP.size * 2 ** vipBits),
		ring: table(MAP.ring, RING_BYTES * rings),
		before: table(MAP.before, RING_BYTES * rings),
		reals: table(MAP.reals, REAL.size * reals),
		flows: table(MAP.flows, BUCKET_BYTES * 2 ** flowBits),
		fragments: table(MAP.fragments, BUCKET_BYTES * 2 ** fragmentBits),
		counters: {
			name: MAP.counters,
			type: "BPF_MAP_TYPE_PERCPU_ARRAY",
			keySize: 4,
			valueSize: COUNTER.size,
			maxEntries: reals,
		},
	};
}

/** A table of `bytes` after the header. Rounded up to whole 64-bit words, like an array's elements. */
function table(name: string, bytes: number): MapSpec {
	return {
		name,
		type: "BPF_MAP_TYPE_ARRAY",
		keySize: 4,
		valueSize: Math.ceil((HEADER.size + bytes) / 8) * 8,
		maxEntries: 1,
		flags: BPF_MAP_FLAG.BPF_F_MMAPABLE,
	};
}
