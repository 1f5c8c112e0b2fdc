/**
 * What the director's program and its control plane share, byte by byte: one-element array maps in shared memory. Each
 * begins with a header. Whoever changes a layout, the meaning of a field or a hash raises SCHEMA.
 *
 * Numbers are in the machine's order (little-endian) unless they stand as in a packet.
 */
import type { MapSpec } from "@l3dsr/bpf";
import { BPF_MAP_FLAG, struct } from "@l3dsr/bpf";
import { COUNTER } from "../../programs/count.ts";
import { RING_SLOTS } from "../maglev.ts";

/** "L3DB". */
export const MAGIC = 0x4244_334c;
export const SCHEMA = 1;

/** At the start of every table; a cache line, so that what follows is aligned to one. */
export const HEADER = struct("header", {
	magic: "u32",
	schema: "u32",
	/** Goes up with each change. */
	generation: "u64",
	/** Of the VIP table: by this its entries are found without a collision. */
	multiplier: "u64",
	/** Of the VIP table: log2 of its entries. */
	bits: "u32",
	_pad: { bytes: 36 },
});

/** What an entry of the VIP table is; 0: nothing. */
export const KIND = { service: 1, vip: 2, real: 3 } as const;
/** In a VIP's entry: who answers a ping. */
export const ECHO = { kernel: 0, reply: 1, server: 2 } as const;

/**
 * An entry of the VIP table, a cache line: a service; a VIP by its address alone (then the fields of a service are those
 * of its first one); or a real server by its address.
 */
export const VIP = struct("vip", {
	/** IPv4 in the first four bytes. */
	address: { bytes: 16 },
	/** `port | protocol << 16 | version << 24`, the port as it stands in the packet; see matchOf. */
	match: "u32",
	/** Where its slots begin in both rings, in bytes. */
	ring: "u32",
	/** Number of its first real, and how many numbers are its own. */
	first: "u32",
	room: "u32",
	/** What its hashes begin with. */
	seed: "u64",
	/** What of the ports takes part in the hash: all bits, or none. */
	ports: "u32",
	/** TICK when the transition began, and when its last change was; the lower 16 bits count. */
	since: "u32",
	changed: "u32",
	/** KIND, ECHO. */
	kind: "u8",
	echo: "u8",
	/** Of a service: the number of its ring. */
	number: "u16",
	/** Of a real server: the codes that are not to reach it from outside, as bits. */
	codes: "u64",
});

/** Bits of a real's `flags`. */
export const REAL_FLAG = {
	/** Takes the packets of flows that it has. */
	up: 1,
	/** The number is taken: the real is configured, or slots and flows still refer to it. */
	used: 2,
	/**
	 * Its health check failed when somebody last had a check. The program does not look at it: it is for a process
	 * that changes the tables and runs no checks itself.
	 */
	failing: 4,
	/** As `failing`: it is new, and no check of it has succeeded yet. */
	starting: 8,
} as const;

/** In a real's `ifindex`: its next hop is unknown; the kernel routes. */
export const HOP = { unresolved: 0, kernel: 0xffff_ffff } as const;

/** A real server of one service, a cache line: all that rewriting needs. */
export const REAL = struct("real", {
	address: { bytes: 16 },
	/** The complement of the ones' complement sum of the address's 32-bit words. */
	complement: "u32",
	/** The DSCP where it stands in the first 16 bits of the header. */
	start: "be16",
	flags: "u16",
	/** Next hop and own address, as they begin a frame. */
	nextHop: { bytes: 6 },
	ownMac: { bytes: 6 },
	/** Where the frame goes out, or one of HOP. */
	ifindex: "u32",
	/** The largest IP packet that fits there. */
	mtu: "u32",
	/** TICK when it left the configuration. */
	left: "u32",
	/** What was counted for it by counters that are gone, less what its number had counted before it. */
	basePackets: "u64",
	baseBytes: "u64",
});

/** Eight entries of 64 bits, a cache line, in the memory of flows and in that of fragments. */
export const BUCKET_ENTRIES = 8;
export const BUCKET_BYTES = 64;

/**
 * An entry of the memory of flows: `tag | real << 32 | confirmed << 47 | tick << 48`. The tag is never 0: an entry that
 * is 0 is free.
 */
export const FLOW_BITS = { real: 32, confirmed: 47, tick: 48 } as const;
/** An entry of the memory of fragments: `tag | number of the real << 32 | tick << 52`. */
export const FRAGMENT_BITS = { real: 32, tick: 52 } as const;
/** Numbers of reals have 20 bits there. */
export const MOST_NUMBERS = 1 << 20;

/** Time in the tables: CLOCK_MONOTONIC in units of 2^30 ns, about a second. */
export const TICK_SHIFT = 30;

/** How long a datagram's later fragments are waited for (ipfrag_time, RFC 8200: 60 s at most), in ticks. */
export const FRAGMENT_TICKS = 28;
/** How long unknown UDP flows go to a slot's previous real, in ticks. */
export const UDP_TICKS = 28;
/** With `flows: always`, an entry that was idle for so long is not trusted any more, in ticks. */
export const ALWAYS_TICKS = 3600;

/**
 * Counters, and the numbers of reals: the first ones count reasons (reason.ts), and are nobody's number. Entries of the
 * table of reals with these numbers have nothing but what their counters began with.
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
/** Beside the tables, of each program its own: what it was compiled for (compile/about.ts). */
export const ABOUT_MAP = "l3db_about";

/** How large the tables are. */
export interface Capacity {
	/** log2 of the entries of the VIP table. */
	readonly vipBits: number;
	readonly rings: number;
	/** Numbers, of reasons and of the reals of all services. */
	readonly reals: number;
	/** log2 of the buckets of the memories. */
	readonly flowBits: number;
	readonly fragmentBits: number;
}

/** 8 MB: a million flows. */
export const FLOW_BITS_DEFAULT = 17;
/** 256 kB: 32,000 datagrams at a time. */
export const FRAGMENT_BITS_DEFAULT = 12;

export const RING_BYTES = RING_SLOTS * 2;

/** How many services fit into a table of so many bytes. */
export function ringsWithin(bytes: number): number {
	return Math.floor((bytes - HEADER.size) / RING_BYTES);
}

/** log2 of the buckets of a memory that do. */
export function bucketBitsWithin(bytes: number): number {
	return Math.floor(Math.log2((bytes - HEADER.size) / BUCKET_BYTES));
}

/** log2 of the groups of a VIP table with 2^`bits` entries: a quarter of them. */
export function groupBitsOf(bits: number): number {
	return Math.max(1, bits - 2);
}

/**
 * log2 of the bits that tell most destinations that are not in the VIP table, for a fraction of a look-up: the bit of an
 * address is set when it, or another one with the same bit, is in the table. Behind the header.
 */
export const FILTER_BITS = 12;
const FILTER_BYTES = 2 ** FILTER_BITS / 8;

/** Where the shifts of the groups are: 16 bits each. */
export const SHIFTS_AT = HEADER.size + FILTER_BYTES;

/** Where the entries of a VIP table begin: at a cache line. */
export function entriesAt(bits: number): number {
	return SHIFTS_AT + Math.ceil((2 * 2 ** groupBitsOf(bits)) / VIP.size) * VIP.size;
}

export type TableSpecs = Readonly<Record<keyof typeof MAP, MapSpec>>;

/** The maps of these sizes, empty. */
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

/** `bytes` behind a header. A whole number of 64-bit words, as an array's elements are. */
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
