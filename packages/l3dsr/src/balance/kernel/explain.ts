/** Explains what the running director does with a frame: runs the oracle on the current tables. Changes nothing. */

import { dscp } from "@l3dsr/packet";
import type { ProgramSettings } from "../compile/about.ts";
import { tagOf } from "../hash.ts";
import type { FlowEntry, Flows, Fragments } from "../oracle/memory.ts";
import {
	direct,
	type Hop,
	type OracleResult,
	type OracleService,
	type OracleTables,
} from "../oracle/oracle.ts";
import {
	BUCKET_BYTES,
	BUCKET_ENTRIES,
	FLOW_BITS,
	FRAGMENT_BITS,
	FRAGMENT_TICKS,
	HEADER,
} from "../tables/layout.ts";
import type { Hop as TableHop } from "../tables/real-entry.ts";
import { numberIn } from "./datagrams.ts";
import type { SharedTables } from "./shared-tables.ts";

/** `frame`: as received by the interface of the program compiled for `settings`. `now`: a tick. */
export function explainFrame(
	frame: Uint8Array,
	tables: SharedTables,
	settings: ProgramSettings,
	now: number,
): OracleResult {
	const { ifindex, mac, vlan, forward, flows, hook } = settings;
	return direct(
		frame,
		oracleTables(tables),
		{ ifindex, mac: mac ?? frame.slice(0, 6), forward, flows, hook, ...(vlan === undefined ? {} : { vlan }) },
		now,
	);
}

function oracleTables(tables: SharedTables): OracleTables {
	const { rows } = tables.vipTable();
	const seeds = new Map(
		rows.flatMap((row) => (row.kind === "service" ? [[row.place.number, row.place.seed]] : [])),
	);
	const services = tables.services().map((service): OracleService => {
		const reals: OracleService["reals"][number][] = [];
		for (const { index, entry } of service.reals)
			reals[index] = {
				address: entry.address,
				number: service.first + index,
				up: entry.up,
				hop: hopOf(entry.hop),
			};
		return {
			address: service.address,
			protocol: service.protocol,
			port: service.port,
			dscp: service.reals[0]?.entry.dscp ?? dscp(0),
			affinity: service.affinity,
			seed: seeds.get(service.number) ?? 0n,
			rings: tables.rings(service.number),
			reals,
			since: service.since,
			changed: service.changed,
		};
	});
	const numbers = new Map(tables.services().map(({ number }, n) => [number, services[n]]));
	return {
		services,
		vips: rows.flatMap((row) => {
			if (row.kind !== "vip") return [];
			const first = row.place === undefined ? undefined : numbers.get(row.place.number);
			return [{ address: row.address, echo: row.echo, ...(first === undefined ? {} : { first }) }];
		}),
		codes: rows.flatMap((row) => (row.kind === "real" ? [row] : [])),
		flows: new SharedFlows(tables),
		fragments: new SharedFragments(tables),
	};
}

/** Does not ask the kernel's routing table, although the program would, for each packet. */
function hopOf(hop: TableHop): Hop {
	if (hop.to === "unresolved") return { to: "nowhere" };
	if (hop.to === "kernel") return hop;
	const macs = new Uint8Array(12);
	macs.set(hop.nextHop);
	macs.set(hop.ownMac, 6);
	return { to: "interface", ifindex: hop.ifindex, macs, mtu: hop.mtu };
}

/** The entry of a hash in shared buckets; 0 if there is none. */
function entryOf(tables: SharedTables, name: "flows" | "fragments", hash: bigint): bigint {
	const { flowBits, fragmentBits } = tables.capacity;
	const bits = name === "flows" ? flowBits : fragmentBits;
	const bytes = tables.bytes(name);
	const bucket = Number(hash & ((1n << BigInt(bits)) - 1n));
	const view = new DataView(
		bytes.buffer,
		bytes.byteOffset + HEADER.size + bucket * BUCKET_BYTES,
		BUCKET_BYTES,
	);
	const tag = BigInt(tagOf(hash));
	for (let n = 0; n < BUCKET_ENTRIES; n++) {
		const entry = view.getBigUint64(n * 8, true);
		if ((entry & 0xffff_ffffn) === tag) return entry;
	}
	return 0n;
}

class SharedFlows implements Flows {
	readonly #tables: SharedTables;

	constructor(tables: SharedTables) {
		this.#tables = tables;
	}

	get(hash: bigint): FlowEntry | undefined {
		const entry = entryOf(this.#tables, "flows", hash);
		if (entry === 0n) return undefined;
		return {
			real: Number((entry >> BigInt(FLOW_BITS.real)) & 0x7fffn),
			confirmed: ((entry >> BigInt(FLOW_BITS.confirmed)) & 1n) !== 0n,
			tick: Number(entry >> BigInt(FLOW_BITS.tick)),
		};
	}

	/** Explaining a packet leaves no entry. */
	set(): void {}
}

class SharedFragments implements Fragments {
	readonly #tables: SharedTables;

	constructor(tables: SharedTables) {
		this.#tables = tables;
	}

	get(hash: bigint, now: number): number | undefined {
		const entry = entryOf(this.#tables, "fragments", hash);
		const age = (now - Number(entry >> BigInt(FRAGMENT_BITS.tick))) & 0xfff;
		if (entry === 0n || age > FRAGMENT_TICKS) return undefined;
		return numberIn(entry);
	}

	set(): void {}
}
