/**
 * Encodes the VIP table: services by VIP, protocol and port; VIPs and (for bleaching) real servers by their address
 * alone. A hash chosen without collisions finds each entry in one step.
 */
import { type Address, addressFromBytes } from "@l3dsr/packet";
import type { EchoMode } from "../../model/fleet.ts";
import { filterBit, foldAddress, mix64 } from "../hash.ts";
import type { ServiceKey } from "../service.ts";
import {
	ECHO,
	entriesAt,
	FILTER_BITS,
	groupBitsOf,
	HEADER,
	KIND,
	MAGIC,
	RING_BYTES,
	SCHEMA,
	SHIFTS_AT,
	VIP,
} from "./layout.ts";

const U64 = (1n << 64n) - 1n;
const ALL_PORTS = 0xffff_ffff;

/** The place of a service's ring and reals in the other tables, and the seed of its hashes. */
export interface ServicePlace {
	/** Number of its ring. */
	readonly number: number;
	/** The numbers of its reals: `room` of them, from `first`. */
	readonly first: number;
	readonly room: number;
	readonly seed: bigint;
	readonly affinity: "flow" | "source";
	/** When the transition began and when it last changed, in TICKs. */
	readonly since: number;
	readonly changed: number;
}

export type VipRow =
	| (ServiceKey & { readonly kind: "service"; readonly place: ServicePlace })
	/** `place`: of the service whose ring decides which real answers a ping. */
	| {
			readonly kind: "vip";
			readonly address: Address;
			readonly echo: EchoMode;
			readonly place?: ServicePlace;
	  }
	| { readonly kind: "real"; readonly address: Address; readonly codes: bigint };

/**
 * `port | protocol << 16 | version << 24`, with the port in packet byte order; for an address alone, only the
 * version.
 */
function matchOf(row: VipRow): number {
	const version = row.address.family === "ipv4" ? 4 : 6;
	const { port, protocol } = row.kind === "service" ? row : { port: 0, protocol: 0 };
	return (((port & 255) << 8) | (port >> 8) | (protocol << 16) | (version << 24)) >>> 0;
}

/** The number that the program multiplies to find the row. */
function keyOf(row: VipRow): bigint {
	const match = BigInt(matchOf(row));
	const folded = foldAddress(row.address.bytes);
	return row.address.family === "ipv4" ? folded | (match << 32n) : folded ^ match;
}

/** The parameters of the hash that finds an entry: see findPlaces. */
export interface VipHash {
	readonly multiplier: bigint;
	/** log2 of the number of entries. */
	readonly bits: number;
	/** For each group of keys, how many entries it is shifted. */
	readonly shifts: Uint16Array;
}

const KIND_AT = VIP.offsetOf("kind");
const MULTIPLIERS = 64;

/**
 * A hash without collisions (hash and displace; Belazzouggui et al., ESA 2009). The upper bits of `key * multiplier`
 * select an entry, the bits below them a group. Each group is shifted by the number of entries at which none of its
 * keys collides. At least half of the entries stay empty.
 */
export function planVipTable(rows: readonly VipRow[]): VipHash {
	const keys = rows.map(keyOf);
	if (new Set(keys).size !== keys.length) throw new RangeError("two rows of the VIP table have one key");
	for (let bits = Math.max(4, Math.ceil(Math.log2(2 * rows.length + 1))); ; bits++) {
		for (let n = 1; n <= MULTIPLIERS; n++) {
			const multiplier = mix64(BigInt(n)) | 1n;
			const shifts = shiftGroups(keys, multiplier, bits);
			if (shifts !== undefined) return { multiplier, bits, shifts };
		}
	}
}

/** The entry before the shift, and the group. */
function placeOf(
	key: bigint,
	multiplier: bigint,
	bits: number,
): { readonly entry: number; readonly group: number } {
	const hash = (key * multiplier) & U64;
	const groupBits = groupBitsOf(bits);
	const group = (hash >> BigInt(64 - bits - groupBits)) & ((1n << BigInt(groupBits)) - 1n);
	return { entry: Number(hash >> BigInt(64 - bits)), group: Number(group) };
}

/** Places the largest groups first, while there is most room. Undefined if a group fits nowhere. */
function shiftGroups(keys: readonly bigint[], multiplier: bigint, bits: number): Uint16Array | undefined {
	const groups = new Map<number, number[]>();
	for (const key of keys) {
		const { entry, group } = placeOf(key, multiplier, bits);
		groups.set(group, [...(groups.get(group) ?? []), entry]);
	}
	const mask = 2 ** bits - 1;
	const taken = new Uint8Array(2 ** bits);
	const shifts = new Uint16Array(2 ** groupBitsOf(bits));
	for (const [group, entries] of [...groups].sort(([, one], [, other]) => other.length - one.length)) {
		if (new Set(entries).size !== entries.length) return undefined;
		let shift = 0;
		while (entries.some((entry) => taken[(entry + shift) & mask] === 1)) if (++shift > mask) return undefined;
		for (const entry of entries) taken[(entry + shift) & mask] = 1;
		shifts[group] = shift;
	}
	return shifts;
}

export interface VipTable extends VipHash {
	readonly rows: readonly VipRow[];
	readonly generation: bigint;
}

/** The map's value, header included. */
export function encodeVipTable(table: VipTable): Uint8Array {
	const { rows, multiplier, bits, shifts, generation } = table;
	const bytes = new Uint8Array(entriesAt(bits) + VIP.size * 2 ** bits);
	bytes.set(HEADER.encode({ magic: MAGIC, schema: SCHEMA, generation, multiplier, bits }));
	for (const { address } of rows) {
		const bit = filterBit(address.bytes, FILTER_BITS);
		const at = HEADER.size + (bit >> 3);
		bytes[at] = (bytes[at] ?? 0) | (1 << (bit & 7));
	}
	const view = new DataView(bytes.buffer, SHIFTS_AT);
	for (const [group, shift] of shifts.entries()) view.setUint16(2 * group, shift, true);
	for (const row of rows) bytes.set(encodeRow(row), offsetOf(row, table));
	return bytes;
}

/** The offset of a row in the map's value. */
export function offsetOf(row: VipRow, { multiplier, bits, shifts }: VipHash): number {
	const { entry, group } = placeOf(keyOf(row), multiplier, bits);
	return entriesAt(bits) + ((entry + (shifts[group] ?? 0)) & (2 ** bits - 1)) * VIP.size;
}

function encodeRow(row: VipRow): Uint8Array {
	const common = { address: Uint8Array.from(row.address.bytes), match: matchOf(row), kind: KIND[row.kind] };
	if (row.kind === "real") return VIP.encode({ ...common, codes: row.codes });
	const echo = row.kind === "vip" ? { echo: ECHO[row.echo] } : {};
	const { place } = row;
	if (place === undefined) return VIP.encode({ ...common, ...echo });
	return VIP.encode({
		...common,
		...echo,
		ring: place.number * RING_BYTES,
		number: place.number,
		first: place.first,
		room: place.room,
		seed: place.seed,
		ports: place.affinity === "source" ? 0 : ALL_PORTS,
		since: place.since,
		changed: place.changed,
	});
}

/** The table in a map's value. Undefined if the value is not ours or has another schema. */
export function decodeVipTable(bytes: Uint8Array): VipTable | undefined {
	const { magic, schema, generation, multiplier, bits } = HEADER.decode(bytes);
	if (magic !== MAGIC || schema !== SCHEMA || bits > 16) return undefined;
	const view = new DataView(bytes.buffer, bytes.byteOffset + SHIFTS_AT);
	const shifts = Uint16Array.from({ length: 2 ** groupBitsOf(bits) }, (_, group) =>
		view.getUint16(2 * group, true),
	);
	const rows: VipRow[] = [];
	const first = entriesAt(bits);
	for (let at = first; at < first + VIP.size * 2 ** bits; at += VIP.size) {
		// At least half of the entries are empty.
		if (bytes[at + KIND_AT] === 0) continue;
		const row = decodeRow(bytes.subarray(at, at + VIP.size));
		if (row !== undefined) rows.push(row);
	}
	return { rows, multiplier, bits, shifts, generation };
}

function decodeRow(bytes: Uint8Array): VipRow | undefined {
	const entry = VIP.decode(bytes);
	const address = addressFromBytes(entry.address.subarray(0, entry.match >>> 24 === 4 ? 4 : 16));
	const place: ServicePlace = {
		number: entry.number,
		first: entry.first,
		room: entry.room,
		seed: entry.seed,
		affinity: entry.ports === 0 ? "source" : "flow",
		since: entry.since,
		changed: entry.changed,
	};
	switch (entry.kind) {
		case KIND.service: {
			const port = ((entry.match & 255) << 8) | ((entry.match >> 8) & 255);
			return { kind: "service", address, protocol: (entry.match >> 16) & 255, port, place };
		}
		case KIND.vip: {
			const echo =
				(["kernel", "reply", "server"] as const).find((mode) => ECHO[mode] === entry.echo) ?? "kernel";
			return { kind: "vip", address, echo, ...(entry.room === 0 ? {} : { place }) };
		}
		case KIND.real:
			return { kind: "real", address, codes: entry.codes };
		default:
			return undefined;
	}
}
