/**
 * The director's tables in shared memory, which the program reads while they are written. Each write is safe at any
 * moment: it is one aligned store, or goes to a place that nothing refers to yet.
 */
import { arrayKey, BpfMap, sumPerCpu } from "@l3dsr/bpf";
import { L3dsrError } from "../../errors.ts";
import type { Counters } from "../../model/rule.ts";
import { RING_SLOTS } from "../ring.ts";
import {
	BUCKET_BYTES,
	type Capacity,
	HEADER,
	MAGIC,
	MAP,
	REAL,
	RING_BYTES,
	SCHEMA,
	tableSpecs,
	VIP,
} from "../tables/layout.ts";
import type { CurrentPlace, CurrentService } from "../tables/state.ts";
import {
	decodeVipTable,
	encodeVipTable,
	offsetOf,
	type VipHash,
	type VipRow,
	type VipTable,
} from "../tables/vip-table.ts";
import type { Rings } from "../transition.ts";
import { forgetDatagrams } from "./datagrams.ts";
import { RealTable } from "./real-table.ts";
import { type SharedMemory, sharedMemory } from "./shared-memory.ts";

type TableName = keyof typeof MAP;
const MAPPED = ["vips", "ring", "before", "reals", "flows", "fragments"] as const;
type MappedName = (typeof MAPPED)[number];

/** A map, and its memory if it is shared. */
interface Table extends Disposable {
	readonly map: BpfMap;
	readonly shared?: SharedMemory;
}

function tableOf(map: BpfMap, isMapped: boolean): Table {
	try {
		const shared = isMapped ? sharedMemory(map) : undefined;
		return {
			map,
			...(shared === undefined ? {} : { shared }),
			[Symbol.dispose]() {
				shared?.memory[Symbol.dispose]();
				map[Symbol.dispose]();
			},
		};
	} catch (error) {
		map[Symbol.dispose]();
		throw error;
	}
}

/** A new VIP table that is not in use yet. */
export interface NewVipTable extends Disposable {
	readonly table: VipTable;
	readonly map: BpfMap;
	/** Replaces the previous VIP table, which is closed. */
	adopt(): void;
}

export class SharedTables implements Disposable {
	readonly #tables: Map<TableName, Table>;
	/** The rows of the VIP table and their places. Their transitions are read from memory. */
	#vips: VipTable;
	readonly #sizes: Omit<Capacity, "vipBits">;
	readonly #reals: RealTable;
	/** The VIP table's rows in the table's order. */
	#rows: { readonly of: VipTable; readonly rows: readonly VipRow[] } | undefined;
	#rowOffsets:
		| { readonly of: VipTable; readonly offsets: ReadonlyMap<number, readonly number[]> }
		| undefined;

	private constructor(tables: Map<TableName, Table>, vips: VipTable) {
		this.#tables = tables;
		this.#vips = vips;
		this.#reals = new RealTable(this.#shared("reals"));
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
	 * Creates tables of this size with the rows of `vips`. Shares the memory of flows of `from`, if given. Throws
	 * KERNEL_* and leaves nothing behind.
	 */
	static create(capacity: Omit<Capacity, "vipBits">, vips: VipTable, from?: SharedTables): SharedTables {
		const specs = tableSpecs({ ...capacity, vipBits: vips.bits });
		const tables = new Map<TableName, Table>();
		try {
			for (const name of Object.keys(MAP) as TableName[]) {
				const shared = name === "flows" ? from?.reopened(name) : undefined;
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
	 * Opens the tables of a program from its `maps`: keeps these and closes the other maps. Throws DATAPATH_FOREIGN if
	 * another version made them.
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
			const bytes = tables.get("vips")?.shared?.memory.bytes;
			const vips = decodeVipTable(bytes ?? new Uint8Array(HEADER.size));
			if (vips === undefined) throw foreign(place, "its tables are of another version");
			return new SharedTables(tables, vips);
		} catch (error) {
			for (const table of tables.values()) table[Symbol.dispose]();
			throw error;
		} finally {
			for (const map of rest) map[Symbol.dispose]();
		}
	}

	get reals(): RealTable {
		if (this.#tables.size === 0) throw new RangeError("the tables have been let go");
		return this.#reals;
	}

	get capacity(): Capacity {
		return { ...this.#sizes, vipBits: this.#vips.bits };
	}

	/** Increases with each new VIP table. */
	get generation(): bigint {
		return this.#vips.generation;
	}

	/** The rows of the VIP table with their current transitions. */
	vipTable(): VipTable {
		if (this.#rows?.of !== this.#vips) {
			const rows = decodeVipTable(this.bytes("vips"))?.rows ?? this.#vips.rows;
			this.#rows = { of: this.#vips, rows };
		}
		const rows = this.#rows.rows.map((row): VipRow => {
			if (row.kind === "real" || row.place === undefined) return row;
			return { ...row, place: { ...row.place, ...this.transition(row.place.number) } };
		});
		return { ...this.#vips, rows };
	}

	/** Maps by the names that programs use. */
	maps(): Map<string, BpfMap> {
		return new Map([...this.#tables.values()].map(({ map }) => [map.info.name, map]));
	}

	bytes(name: MappedName): Uint8Array {
		return this.#shared(name).memory.bytes;
	}

	#shared(name: MappedName): SharedMemory {
		const shared = this.#tables.get(name)?.shared;
		if (shared === undefined) throw new RangeError(`table ${name} is not mapped`);
		return shared;
	}

	/** Another descriptor of one of the maps. */
	reopened(name: TableName): BpfMap {
		return BpfMap.open(this.#map(name).info.id);
	}

	/** Makes a map for a new VIP table. Throws KERNEL_* and leaves nothing behind. */
	makeVips(rows: readonly VipRow[], hash: VipHash): NewVipTable {
		const table: VipTable = { rows, ...hash, generation: this.generation + 1n };
		const own = tableOf(BpfMap.create(tableSpecs({ ...this.#sizes, vipBits: hash.bits }).vips), true);
		own.shared?.memory.bytes.set(encodeVipTable(table));
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

	/** Frees the numbers of reals. No slot refers to them, and later fragments must not follow them. */
	freeNumbers(numbers: ReadonlySet<number>): void {
		if (numbers.size === 0) return;
		for (const number of numbers) this.reals.free(number);
		forgetDatagrams(this.datagrams(), numbers);
	}

	/** The entries of the memory of fragments, shared with the program. */
	datagrams(): BigUint64Array {
		const { buffer, byteOffset, byteLength } = this.bytes("fragments");
		return new BigUint64Array(buffer, byteOffset + HEADER.size, (byteLength - HEADER.size) / 8);
	}

	/** The services in the VIP table. */
	places(): readonly CurrentPlace[] {
		return this.vipTable().rows.flatMap((row) => {
			if (row.kind !== "service") return [];
			const { address, protocol, port, place } = row;
			const { seed: _, ...where } = place;
			return [{ address, protocol, port, ...where }];
		});
	}

	/** The services in the VIP table, with their reals. */
	services(): readonly CurrentService[] {
		return this.places().map((place) => ({ ...place, reals: this.reals.of(place) }));
	}

	/**
	 * Sets when the transition of the service with this ring began and when it last changed; the program compares ages.
	 */
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

	/** The places of the VIP table's rows with this ring: the service's, and its VIP's. */
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

	/** The counters of these numbers, each added to its base. */
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
			const base = this.#reals.base(number);
			read.set(number, {
				packets: BigInt.asUintN(64, packets + base.packets),
				bytes: BigInt.asUintN(64, bytes + base.bytes),
			});
		}
		return read;
	}

	/** The counter of a number without its base. */
	counted(number: number): Counters {
		const map = this.#map("counters");
		const [packets = 0n, bytes = 0n] = sumPerCpu(map, map.lookup(arrayKey(number)) ?? new Uint8Array(0));
		return { packets, bytes };
	}

	/**
	 * The bytes of VIPs and real servers, as text. Every change of slots except the end of a drain also changes them: a
	 * mark of a real, the time at which a transition began, or the stamp.
	 */
	contents(): string {
		const text = (name: "vips" | "reals") => {
			const { buffer, byteOffset, byteLength } = this.bytes(name);
			return Buffer.from(buffer, byteOffset, byteLength).toString("latin1");
		};
		return text("vips") + text("reals");
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

	#words(name: MappedName): Uint32Array {
		return this.#shared(name).words;
	}
}

function isMapped(name: TableName): name is MappedName {
	return name !== "counters";
}

function foreign(place: string, why: string): L3dsrError {
	return new L3dsrError({
		code: "DATAPATH_FOREIGN",
		message: `read the tables of ${place}: ${why}`,
		hint: "another version of l3dsr attached it: run l3dsr down, then l3dsr up; this moves flows in a transition",
	});
}
