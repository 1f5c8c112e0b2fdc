/**
 * The VIP table as bytes: services by VIP, protocol and port, VIPs and (for bleaching) real servers by their address
 * alone. A hash finds each in one step, because its multiplier was chosen so that no two of them meet.
 */
import { type Address, addressFromBytes } from "@l3dsr/packet";
import type { EchoMode } from "../../model/fleet.ts";
import { foldAddress, mix64 } from "../hash.ts";
import type { ServiceKey } from "../service.ts";
import { ECHO, HEADER, KIND, MAGIC, RING_BYTES, SCHEMA, VIP } from "./layout.ts";

const U64 = (1n << 64n) - 1n;
const ALL_PORTS = 0xffff_ffff;

/** Where a service's ring and reals are in the other tables, and what its hashes are made of. */
export interface ServicePlace {
	/** Number of its ring. */
	readonly number: number;
	/** Numbers of its reals: from `first` on, `room` of them. */
	readonly first: number;
	readonly room: number;
	readonly seed: bigint;
	readonly affinity: "flow" | "source";
	/** TICKs: when the transition began, and when its last change was. */
	readonly since: number;
	readonly changed: number;
}

export type VipRow =
	| (ServiceKey & { readonly kind: "service"; readonly place: ServicePlace })
	/** `place`: of the service whose ring decides who answers a ping. */
	| {
			readonly kind: "vip";
			readonly address: Address;
			readonly echo: EchoMode;
			readonly place?: ServicePlace;
	  }
	| { readonly kind: "real"; readonly address: Address; readonly codes: bigint };

/** `port | protocol << 16 | version << 24`, the port as it stands in a packet; of an address alone only the version. */
function matchOf(row: VipRow): number {
	const version = row.address.family === "ipv4" ? 4 : 6;
	const { port, protocol } = row.kind === "service" ? row : { port: 0, protocol: 0 };
	return (((port & 255) << 8) | (port >> 8) | (protocol << 16) | (version << 24)) >>> 0;
}

/** What the program multiplies to find the row. */
function keyOf(row: VipRow): bigint {
	const match = BigInt(matchOf(row));
	const folded = foldAddress(row.address.bytes);
	return row.address.family === "ipv4" ? folded | (match << 32n) : folded ^ match;
}

function placeOf(key: bigint, multiplier: bigint, bits: number): number {
	return Number(((key * multiplier) & U64) >> BigInt(64 - bits));
}

/** Half of the table or more is empty up to here, then more: a multiplier is found in a moment either way. */
const TRIES = 4096;

/** A multiplier by which no two rows meet, and the smallest table that it was found for. */
export function planVipTable(rows: readonly VipRow[]): {
	readonly multiplier: bigint;
	readonly bits: number;
} {
	const keys = rows.map(keyOf);
	if (new Set(keys).size !== keys.length) throw new RangeError("two rows of the VIP table have one key");
	for (let bits = Math.max(4, Math.ceil(Math.log2(rows.length * 4 + 1))); ; bits++) {
		const seen = new Uint32Array(2 ** bits);
		for (let n = 1; n <= TRIES; n++) {
			const multiplier = mix64(BigInt(n)) | 1n;
			const isFree = keys.every((key) => {
				const place = placeOf(key, multiplier, bits);
				if (seen[place] === n) return false;
				seen[place] = n;
				return true;
			});
			if (isFree) return { multiplier, bits };
		}
	}
}

export interface VipTable {
	readonly rows: readonly VipRow[];
	readonly multiplier: bigint;
	readonly bits: number;
	readonly generation: bigint;
}

/** The value of the map, header included. */
export function encodeVipTable({ rows, multiplier, bits, generation }: VipTable): Uint8Array {
	const bytes = new Uint8Array(HEADER.size + VIP.size * 2 ** bits);
	bytes.set(HEADER.encode({ magic: MAGIC, schema: SCHEMA, generation, multiplier, bits }));
	for (const row of rows) bytes.set(encodeRow(row), offsetOf(row, { multiplier, bits }));
	return bytes;
}

/** Where a row is in the map's value. */
export function offsetOf(row: VipRow, { multiplier, bits }: Pick<VipTable, "multiplier" | "bits">): number {
	return HEADER.size + placeOf(keyOf(row), multiplier, bits) * VIP.size;
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

/** The table as it stands in a map. Undefined for what is not one of ours, or of another schema. */
export function decodeVipTable(bytes: Uint8Array): VipTable | undefined {
	const { magic, schema, generation, multiplier, bits } = HEADER.decode(bytes);
	if (magic !== MAGIC || schema !== SCHEMA || bits > 24) return undefined;
	const rows: VipRow[] = [];
	for (let at = HEADER.size; at < HEADER.size + VIP.size * 2 ** bits; at += VIP.size) {
		const row = decodeRow(bytes.subarray(at, at + VIP.size));
		if (row !== undefined) rows.push(row);
	}
	return { rows, multiplier, bits, generation };
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
