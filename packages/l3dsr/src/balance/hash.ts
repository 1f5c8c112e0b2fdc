/**
 * The hashes that all directors share: the same input gives the same real server on every director, and in the
 * program as in the oracle. A change to one of them moves flows, and needs a new schema (tables/layout.ts).
 */

const U64 = (1n << 64n) - 1n;

/** The multipliers of splitmix64's finaliser (Stafford's variant 13); the shifts between them are MIX_SHIFTS. */
export const MIX = [0xbf58476d1ce4e5b9n, 0x94d049bb133111ebn] as const;
export const MIX_SHIFTS = [30, 27, 31] as const;

/** Every bit of the result depends on every bit of the 64-bit input. */
export function mix64(value: bigint): bigint {
	let h = value & U64;
	h = ((h ^ (h >> BigInt(MIX_SHIFTS[0]))) * MIX[0]) & U64;
	h = ((h ^ (h >> BigInt(MIX_SHIFTS[1]))) * MIX[1]) & U64;
	return h ^ (h >> BigInt(MIX_SHIFTS[2]));
}

/** FNV-1a followed by mix64: for names, not for packets. */
export function hashBytes(bytes: Iterable<number>, seed = 0n): bigint {
	let h = 0xcbf29ce484222325n ^ seed;
	for (const byte of bytes) h = ((h ^ BigInt(byte)) * 0x100000001b3n) & U64;
	return mix64(h);
}

/** murmur3's 32-bit finaliser: the dice of slots, thrown tens of thousands of times when a real server goes down. */
export function mix32(value: number): number {
	let h = value | 0;
	h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
	h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
	return (h ^ (h >>> 16)) >>> 0;
}

/**
 * The first half of an IPv6 address is multiplied by this before the second is combined with it: 2^64 divided by the
 * golden ratio.
 */
export const FOLD = 0x9e3779b97f4a7c15n;

/**
 * An address as one 64-bit number. IPv4: its four bytes, loaded as little-endian. IPv6: both halves, loaded as
 * little-endian, the first multiplied by FOLD.
 */
export function foldAddress(address: ArrayLike<number>): bigint {
	if (address.length === 4) return littleEndian(address, 0, 4);
	return (littleEndian(address, 0, 8) * FOLD + littleEndian(address, 8, 8)) & U64;
}

/** The bit of an address in a filter of 2^`bits` bits. */
export function filterBit(address: ArrayLike<number>, bits: number): number {
	return Number(((foldAddress(address) * MIX[0]) & U64) >> BigInt(64 - bits));
}

function littleEndian(bytes: ArrayLike<number>, offset: number, length: number): bigint {
	let value = 0n;
	for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[offset + i] ?? 0);
	return value;
}

/** What identifies a flow. Ports that do not take part are 0. */
export interface FlowKey {
	readonly source: ArrayLike<number>;
	readonly sourcePort: number;
	readonly destinationPort: number;
}

/** Both ports as one little-endian load of the transport header's first four bytes. */
function portsWord({ sourcePort, destinationPort }: Omit<FlowKey, "source">): number {
	return (swap16(sourcePort) | (swap16(destinationPort) << 16)) >>> 0;
}

function swap16(value: number): number {
	return ((value & 0xff) << 8) | ((value >> 8) & 0xff);
}

/** The hash of a flow to a service with this seed. The destination address is part of the seed. */
export function flowHash(flow: FlowKey, seed: bigint): bigint {
	const ports = BigInt(portsWord(flow));
	const folded = foldAddress(flow.source);
	const key = flow.source.length === 4 ? (folded << 32n) | ports : folded ^ ports;
	return mix64(key ^ seed);
}

/** What all fragments of one datagram share, in packet byte order. */
export interface DatagramKey {
	readonly source: ArrayLike<number>;
	readonly destination: ArrayLike<number>;
	/** IPv4: two bytes; IPv6: four, from the fragment header. */
	readonly identification: ArrayLike<number>;
	/** IPv4: the protocol; IPv6: the fragment header's next header. */
	readonly protocol: number;
}

/** The hash under which a datagram is remembered. */
export function datagramHash({ source, destination, identification, protocol }: DatagramKey): bigint {
	const addresses = foldAddress(source) * FOLD + foldAddress(destination);
	const id = littleEndian(identification, 0, identification.length);
	return mix64((addresses & U64) ^ (id | (BigInt(protocol) << 32n)));
}

/** The upper half of a hash as a tag. It is never 0, because 0 marks a free entry. */
export function tagOf(hash: bigint): number {
	return (Number(hash >> 32n) | 1) >>> 0;
}

/** The slot of a flow with this hash, 0 to `slots` - 1. */
export function slotOf(hash: bigint, slots: number): number {
	return Number(((hash >> 32n) * BigInt(slots)) >> 32n);
}
