/**
 * The director's tables in memory that the program reads while they are written. Each write here is right at every moment:
 * one aligned store, or into what nothing refers to yet.
 */
import { arrayKey, BpfMap, sumPerCpu } from "@l3dsr/bpf";
import type { MappedMemory } from "@l3dsr/linux";
import type { Dscp } from "@l3dsr/packet";
import { L3dsrError } from "../../errors.ts";
import type { RealHealth } from "../../model/fleet.ts";
import type { Counters } from "../../model/rule.ts";
import { RING_SLOTS } from "../maglev.ts";
import {
	BUCKET_BYTES,
	type Capacity,
	HEADER,
	HOP,
	MAGIC,
	MAP,
	REAL,
	REAL_FLAG,
	RING_BYTES,
	SCHEMA,
	tableSpecs,
	VIP,
} from "../tables/layout.ts";
import { decodeReal, encodeReal, flagsOf, type Hop, healthIn, type RealEntry } from "../tables/real-entry.ts";
import type { StandingService } from "../tables/state.ts";
import {
	decodeVipTable,
	encodeVipTable,
	offsetOf,
	type VipHash,
	type VipRow,
	type VipTable,
} from "../tables/vip-table.ts";
import type { Rings } from "../transition.ts";

type TableName = keyof typeof MAP;
const MAPPED = ["vips", "ring", "before", "reals", "flows", "fragments"] as const;
type MappedName = (typeof MAPPED)[number];

/** A map, and its memory where it is shared. */
interface Table extends Disposable {
	readonly map: BpfMap;
	readonly memory?: MappedMemory;
}

function tableOf(map: BpfMap, isMapped: boolean): Table {
	try {
		const memory = isMapped ? map.mapMemory({ writable: true }) : undefined;
		return {
			map,
			...(memory === undefined ? {} : { memory }),
			[Symbol.dispose]() {
				memory?.[Symbol.dispose]();
				map[Symbol.dispose]();
			},
		};
	} catch (error) {
		map[Symbol.dispose]();
		throw error;
	}
}

/** A VIP table that has been made, and is not in use yet. */
export interface NewVipTable extends Disposable {
	readonly table: VipTable;
	readonly map: BpfMap;
	/** Puts it into the place of the one before, which is let go. */
	adopt(): void;
}

export class SharedTables implements Disposable {
	readonly #tables: Map<TableName, Table>;
	/** Of the VIP table: what its rows are and where. Their transitions are read from the memory. */
	#vips: VipTable;
	readonly #sizes: Omit<Capacity, "vipBits">;
	/** By the memory that they are of. */
	readonly #numbers = {
		halves: new WeakMap<ArrayBufferLike, Uint16Array>(),
		words: new WeakMap<ArrayBufferLike, Uint32Array>(),
	};
	#rowOffsets:
		| { readonly of: VipTable; readonly offsets: ReadonlyMap<number, readonly number[]> }
		| undefined;

	private constructor(tables: Map<TableName, Table>, vips: VipTable) {
		this.#tables = tables;
		this.#vips = vips;
		const entries = (name: TableName, bytes: number) =>
			Math.floor((this.#map(name).info.valueSize - HEADER.size) / bytes);
		this.#sizes = {
			rings: entries("ring", RING_BYTES),
			reals: entries("reals", REAL.size),
			flowBits: Math.log2(entries("flows", BUCKET_BYTES)),
			fragmentBits: Math.log2(entries("fragments", BUCKET_BYTES)),
		};
	}

	/**
	 * New tables of this size with the rows of `vips`. Memories of flows and fragments are those of `from`, if they are
	 * given. Throws KERNEL_* with nothing left behind.
	 */
	static create(capacity: Omit<Capacity, "vipBits">, vips: VipTable, from?: SharedTables): SharedTables {
		const specs = tableSpecs({ ...capacity, vipBits: vips.bits });
		const tables = new Map<TableName, Table>();
		try {
			for (const name of Object.keys(MAP) as TableName[]) {
				const shared = name === "flows" || name === "fragments" ? from?.reopened(name) : undefined;
				const map = shared ?? BpfMap.create(specs[name]);
				tables.set(name, tableOf(map, isMapped(name)));
			}
			const made = new SharedTables(tables, vips);
			made.bytes("vips").set(encodeVipTable(vips));
			for (const name of MAPPED) if (name !== "vips") made.#writeHeader(name);
			return made;
		} catch (error) {
			for (const table of tables.values()) table[Symbol.dispose]();
			throw error;
		}
	}

	/**
	 * Those of a program, which are in `maps`; takes these over, and lets go of those that are not tables. Throws
	 * DATAPATH_FOREIGN for maps that another version wrote.
	 */
	static open(maps: readonly BpfMap[], place: string): SharedTables {
		const tables = new Map<TableName, Table>();
		const rest = new Set(maps);
		try {
			for (const name of Object.keys(MAP) as TableName[]) {
				const map = maps.find(({ info }) => info.name === MAP[name]);
				if (map === undefined) throw foreign(place, `it has no map ${MAP[name]}`);
				rest.delete(map);
				tables.set(name, tableOf(map, isMapped(name)));
			}
			const vips = decodeVipTable(tables.get("vips")?.memory?.bytes ?? new Uint8Array(HEADER.size));
			if (vips === undefined) throw foreign(place, "its tables are of another version");
			return new SharedTables(tables, vips);
		} catch (error) {
			for (const table of tables.values()) table[Symbol.dispose]();
			throw error;
		} finally {
			for (const map of rest) map[Symbol.dispose]();
		}
	}

	get capacity(): Capacity {
		return { ...this.#sizes, vipBits: this.#vips.bits };
	}

	/** Goes up with each VIP table. */
	get generation(): bigint {
		return this.#vips.generation;
	}

	/** The rows of the VIP table with the transitions as they are now. */
	vipTable(): VipTable {
		return decodeVipTable(this.bytes("vips")) ?? this.#vips;
	}

	/** Maps by the names that programs know them by. */
	maps(): Map<string, BpfMap> {
		return new Map([...this.#tables.values()].map(({ map }) => [map.info.name, map]));
	}

	bytes(name: MappedName): Uint8Array {
		const memory = this.#tables.get(name)?.memory;
		if (memory === undefined) throw new RangeError(`table ${name} is not mapped`);
		return memory.bytes;
	}

	/** Another descriptor of one of the maps. */
	reopened(name: TableName): BpfMap {
		return BpfMap.open(this.#map(name).info.id);
	}

	/** A map for another VIP table. Throws KERNEL_* with nothing left behind. */
	makeVips(rows: readonly VipRow[], hash: VipHash): NewVipTable {
		const table: VipTable = { rows, ...hash, generation: this.generation + 1n };
		const own = tableOf(BpfMap.create(tableSpecs({ ...this.#sizes, vipBits: hash.bits }).vips), true);
		own.memory?.bytes.set(encodeVipTable(table));
		let isOurs = false;
		return {
			table,
			map: own.map,
			adopt: () => {
				this.#tables.get("vips")?.[Symbol.dispose]();
				this.#tables.set("vips", own);
				this.#vips = table;
				isOurs = true;
			},
			[Symbol.dispose]() {
				if (!isOurs) own[Symbol.dispose]();
			},
		};
	}

	/** The rings of a service, shared with the program. */
	rings(number: number): Rings {
		const at = HEADER.size + number * RING_BYTES;
		const ring = (name: "ring" | "before") => {
			const { buffer, byteOffset } = this.bytes(name);
			return new Uint16Array(buffer, byteOffset + at, RING_SLOTS);
		};
		return { now: ring("ring"), before: ring("before") };
	}

	/** The services of the VIP table with their reals. */
	services(): readonly StandingService[] {
		return this.vipTable().rows.flatMap((row) => {
			if (row.kind !== "service") return [];
			const { address, protocol, port, place } = row;
			const { seed: _, ...where } = place;
			const reals = Array.from({ length: place.room }, (_unused, index) => index).flatMap((index) => {
				const entry = this.real(place.first + index, address.family);
				return entry === undefined ? [] : [{ index, entry }];
			});
			return [{ address, protocol, port, ...where, reals }];
		});
	}

	real(number: number, family: "ipv4" | "ipv6"): RealEntry | undefined {
		const at = realAt(number);
		return decodeReal(this.bytes("reals").subarray(at, at + REAL.size), family);
	}

	/** For a number to which no slot refers. What says that it is taken is written last. */
	putReal(number: number, entry: RealEntry): void {
		const bytes = encodeReal(entry);
		const { offset, bytes: size } = field(REAL, "flags");
		const flags = bytes.slice(offset, offset + size);
		bytes.fill(0, offset, offset + size);
		this.bytes("reals").set(bytes, realAt(number));
		this.#halves("reals")[(realAt(number) + offset) / 2] = new DataView(flags.buffer).getUint16(0, true);
	}

	freeReal(number: number): void {
		const at = realAt(number);
		this.#halves("reals")[(at + REAL.offsetOf("flags")) / 2] = 0;
	}

	isUp(number: number): boolean {
		const flags = this.#halves("reals")[(realAt(number) + FLAGS_AT) / 2] ?? 0;
		return (flags & REAL_FLAG.up) !== 0;
	}

	health(number: number): RealHealth {
		return healthIn(this.#halves("reals")[(realAt(number) + FLAGS_AT) / 2] ?? 0);
	}

	setFlags(number: number, flags: Pick<RealEntry, "up" | "health">): void {
		Atomics.store(this.#halves("reals"), (realAt(number) + FLAGS_AT) / 2, flagsOf(flags));
	}

	/** TICK when the real left the configuration; 0 when it is in it. */
	setLeft(number: number, tick: number): void {
		Atomics.store(this.#words("reals"), (realAt(number) + REAL.offsetOf("left")) / 4, tick);
	}

	setDscp(number: number, code: Dscp, family: "ipv4" | "ipv6"): void {
		const start = code << (family === "ipv4" ? 2 : 6);
		const swapped = ((start & 0xff) << 8) | (start >> 8);
		Atomics.store(this.#halves("reals"), (realAt(number) + REAL.offsetOf("start")) / 2, swapped);
	}

	/** First half of a new next hop: until `setHop` the program asks the kernel. */
	clearHop(number: number): void {
		Atomics.store(this.#words("reals"), (realAt(number) + REAL.offsetOf("ifindex")) / 4, HOP.unresolved);
	}

	/** Second half, when no program can still be at the old one (waitForGracePeriod). */
	setHop(number: number, entry: RealEntry, hop: Hop): void {
		const bytes = encodeReal({ ...entry, hop });
		const at = realAt(number);
		const from = REAL.offsetOf("nextHop");
		const ifindexAt = REAL.offsetOf("ifindex");
		this.bytes("reals").set(bytes.subarray(from, ifindexAt), at + from);
		const view = new DataView(bytes.buffer, bytes.byteOffset);
		const mtuAt = REAL.offsetOf("mtu");
		Atomics.store(this.#words("reals"), (at + mtuAt) / 4, view.getUint32(mtuAt, true));
		Atomics.store(this.#words("reals"), (at + ifindexAt) / 4, view.getUint32(ifindexAt, true));
	}

	/** When the transition of the service with this ring began, and when its last change was; the program compares ages. */
	setTransition(ring: number, since: number, changed: number): void {
		for (const at of this.#rowsOf(ring)) {
			Atomics.store(this.#words("vips"), (at + VIP.offsetOf("since")) / 4, since);
			Atomics.store(this.#words("vips"), (at + VIP.offsetOf("changed")) / 4, changed);
		}
	}

	transition(ring: number): { readonly since: number; readonly changed: number } {
		const [at] = this.#rowsOf(ring);
		if (at === undefined) throw new RangeError(`no service has ring ${ring}`);
		const read = (name: "since" | "changed") => this.#words("vips")[(at + VIP.offsetOf(name)) / 4] ?? 0;
		return { since: read("since"), changed: read("changed") };
	}

	/** Where the rows of the VIP table are that have this ring: the service's, and its VIP's. */
	#rowsOf(ring: number): readonly number[] {
		if (this.#rowOffsets?.of !== this.#vips) {
			const offsets = new Map<number, number[]>();
			for (const row of this.#vips.rows) {
				if (row.kind === "real" || row.place === undefined) continue;
				const { number } = row.place;
				offsets.set(number, [...(offsets.get(number) ?? []), offsetOf(row, this.#vips)]);
			}
			this.#rowOffsets = { of: this.#vips, offsets };
		}
		return this.#rowOffsets.offsets.get(ring) ?? [];
	}

	/** Goes up whenever numbers of reals are given, freed or changed in more than whether they are up. */
	get stamp(): bigint {
		return this.#stamp()[0] ?? 0n;
	}

	touch(): void {
		Atomics.add(this.#stamp(), 0, 1n);
	}

	#stamp(): BigUint64Array {
		const { buffer, byteOffset } = this.bytes("reals");
		return new BigUint64Array(buffer, byteOffset + HEADER.offsetOf("generation"), 1);
	}

	/** What the counters of these numbers stand at, with what they began with. */
	counters(numbers: Iterable<number>): ReadonlyMap<number, Counters> {
		const map = this.#map("counters");
		const all = new Map(
			map
				.entries()
				.map(({ key, value }) => [new DataView(key.buffer, key.byteOffset).getUint32(0, true), value]),
		);
		const read = new Map<number, Counters>();
		for (const number of numbers) {
			const [packets = 0n, bytes = 0n] = sumPerCpu(map, all.get(number) ?? new Uint8Array(0));
			const base = this.base(number);
			read.set(number, {
				packets: BigInt.asUintN(64, packets + base.packets),
				bytes: BigInt.asUintN(64, bytes + base.bytes),
			});
		}
		return read;
	}

	base(number: number): Counters {
		const at = realAt(number);
		const { basePackets, baseBytes } = REAL.decode(this.bytes("reals").subarray(at, at + REAL.size));
		return { packets: basePackets, bytes: baseBytes };
	}

	/** The program does not read it. */
	setBase(number: number, { packets, bytes }: Counters): void {
		const at = realAt(number);
		const { buffer, byteOffset } = this.bytes("reals");
		const view = new DataView(buffer, byteOffset + at, REAL.size);
		view.setBigUint64(REAL.offsetOf("basePackets"), BigInt.asUintN(64, packets), true);
		view.setBigUint64(REAL.offsetOf("baseBytes"), BigInt.asUintN(64, bytes), true);
	}

	/** What the counter of a number has counted, whatever it began with. */
	counted(number: number): Counters {
		const map = this.#map("counters");
		const [packets = 0n, bytes = 0n] = sumPerCpu(map, map.lookup(arrayKey(number)) ?? new Uint8Array(0));
		return { packets, bytes };
	}

	[Symbol.dispose](): void {
		for (const table of this.#tables.values()) table[Symbol.dispose]();
		this.#tables.clear();
	}

	#map(name: TableName): BpfMap {
		const table = this.#tables.get(name);
		if (table === undefined) throw new RangeError(`table ${name} has been let go`);
		return table.map;
	}

	#writeHeader(name: MappedName): void {
		this.bytes(name).set(HEADER.encode({ magic: MAGIC, schema: SCHEMA, generation: this.generation }));
	}

	/** A table as numbers of 16 bits, and of 32; all fields are aligned to their size. */
	#halves(name: MappedName): Uint16Array {
		const { buffer, byteOffset, byteLength } = this.bytes(name);
		const known = this.#numbers.halves.get(buffer);
		if (known !== undefined) return known;
		const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
		this.#numbers.halves.set(buffer, halves);
		return halves;
	}

	#words(name: MappedName): Uint32Array {
		const { buffer, byteOffset, byteLength } = this.bytes(name);
		const known = this.#numbers.words.get(buffer);
		if (known !== undefined) return known;
		const words = new Uint32Array(buffer, byteOffset, byteLength / 4);
		this.#numbers.words.set(buffer, words);
		return words;
	}
}

function isMapped(name: TableName): name is MappedName {
	return name !== "counters";
}

const FLAGS_AT = REAL.offsetOf("flags");

function realAt(number: number): number {
	return HEADER.size + number * REAL.size;
}

function field(layout: typeof REAL, name: "flags"): { readonly offset: number; readonly bytes: number } {
	return { offset: layout.offsetOf(name), bytes: 2 };
}

function foreign(place: string, why: string): L3dsrError {
	return new L3dsrError({
		code: "DATAPATH_FOREIGN",
		message: `read the tables of ${place}: ${why}`,
		hint: "another version of l3dsr attached it: run l3dsr down, then l3dsr up; this moves flows in a transition",
	});
}
