/** Counting: one lookup in a per-CPU map, which the JIT inlines, and two additions. */
import { type Place, view } from "@l3dsr/bpf";
import { COUNTER_ENTRY, type Director } from "./frame.ts";

/** Adds one packet of `length` bytes to the real whose number is in the stack's `key`. Values in r0-r5 are lost. */
export function emitCount({ p, slots, maps }: Director, what: string, length: Place): void {
	p.comment(what);
	const counted = p.label("counted");
	{
		using found = p.lookup(maps.counters, slots.key, counted, "counter");
		const counter = view(found, COUNTER_ENTRY);
		p.increment(counter.packets, 1);
		p.increment(counter.bytes, length);
	}
	p.place(counted);
}

/** Adds one packet to the reason in the stack's `key`. */
export function emitCountReason({ p, slots, maps }: Director): void {
	const counted = p.label("counted");
	{
		using found = p.lookup(maps.counters, slots.key, counted, "counter");
		p.increment(view(found, COUNTER_ENTRY).packets, 1);
	}
	p.place(counted);
}
