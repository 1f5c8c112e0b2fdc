/**
 * Counters of rules: the programs' counts (per CPU, never written from here) plus a base that only we write. So a
 * counter can be set or zeroed under traffic without losing a packet, and survives the replacement of the programs
 * that count.
 */

import { arrayKey, type BpfMap, sumPerCpu } from "@l3dsr/bpf";
import type { Counters } from "../../../model/rule.ts";
import { COUNTER_BYTES } from "../../../programs/count.ts";

export interface CounterMaps {
	readonly counters: BpfMap;
	readonly base: BpfMap;
}

/** The counter maps have at least this many slots, in powers of two. */
const LEAST_SLOTS = 256;

export function slotsFor(needed: number): number {
	let slots = LEAST_SLOTS;
	while (slots < needed) slots *= 2;
	return slots;
}

/** Up to this many slots are read one by one with two calls each; reading all at once copies and decodes every slot. */
const FEW_SLOTS = 16;

/** The counters of at least these slots. */
export function readCounters(maps: CounterMaps, slots: readonly number[]): ReadonlyMap<number, Counters> {
	if (slots.length <= FEW_SLOTS) return new Map(slots.map((slot) => [slot, readCounter(maps, slot)]));
	const base = new Map<number, Counters>();
	for (const { key, value } of maps.base.entries()) base.set(slotOf(key), decode(value));
	const read = new Map<number, Counters>();
	for (const { key, value } of maps.counters.entries()) {
		const slot = slotOf(key);
		read.set(slot, sum(live(maps.counters, value), base.get(slot)));
	}
	return read;
}

/** Sets a slot to `counters` now; later counts are added. Returns the undo step. */
export function setCounters(maps: CounterMaps, slot: number, counters: Counters): () => void {
	const before = maps.base.lookup(arrayKey(slot)) ?? new Uint8Array(COUNTER_BYTES);
	const counted = live(maps.counters, maps.counters.lookup(arrayKey(slot)) ?? new Uint8Array(0));
	maps.base.update(
		arrayKey(slot),
		encode({ packets: counters.packets - counted.packets, bytes: counters.bytes - counted.bytes }),
	);
	return () => maps.base.update(arrayKey(slot), before);
}

/** The current value of a slot. */
export function readCounter(maps: CounterMaps, slot: number): Counters {
	const key = arrayKey(slot);
	const counted = live(maps.counters, maps.counters.lookup(key) ?? new Uint8Array(0));
	return sum(counted, decode(maps.base.lookup(key) ?? new Uint8Array(COUNTER_BYTES)));
}

/** Adds to a slot, even while it is being counted. */
export function addToBase({ base }: CounterMaps, slot: number, more: Counters): void {
	const key = arrayKey(slot);
	base.update(key, encode(sum(decode(base.lookup(key) ?? new Uint8Array(COUNTER_BYTES)), more)));
}

function live(map: BpfMap, value: Uint8Array): Counters {
	const [packets = 0n, bytes = 0n] = sumPerCpu(map, value);
	return { packets, bytes };
}

/** The base may be "negative": all arithmetic is modulo 2^64, as in the kernel. */
function sum(a: Counters, b: Counters | undefined): Counters {
	return {
		packets: BigInt.asUintN(64, a.packets + (b?.packets ?? 0n)),
		bytes: BigInt.asUintN(64, a.bytes + (b?.bytes ?? 0n)),
	};
}

function slotOf(key: Uint8Array): number {
	return new DataView(key.buffer, key.byteOffset, key.byteLength).getUint32(0, true);
}

function decode(value: Uint8Array): Counters {
	const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
	return { packets: view.getBigUint64(0, true), bytes: view.getBigUint64(8, true) };
}

function encode({ packets, bytes }: Counters): Uint8Array {
	const value = new Uint8Array(COUNTER_BYTES);
	const view = new DataView(value.buffer);
	view.setBigUint64(0, BigInt.asUintN(64, packets), true);
	view.setBigUint64(8, BigInt.asUintN(64, bytes), true);
	return value;
}
