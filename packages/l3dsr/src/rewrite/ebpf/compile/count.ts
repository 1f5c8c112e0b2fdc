/** Counting: one lookup in a per-CPU map, which the JIT inlines, and two additions. */
import { type Place, type Value, view } from "@l3dsr/bpf";
import { COUNTER, type Packet } from "./frame.ts";

/** Adds one packet of `length` bytes to the counter whose slot is at `slot`. */
export function emitCount({ p, maps }: Packet, what: string, slot: Place, length: Value | Place): void {
	const counted = p.label("counted");
	p.comment(what);
	{
		using found = p.lookup(maps.counters, slot, counted, "counter");
		const counter = view(found, COUNTER);
		p.increment(counter.packets, 1);
		p.increment(counter.bytes, length);
	}
	p.place(counted);
}

/** The same for a slot that is known, and the packet's length from the stack. */
export function emitCountIn(packet: Packet, what: string, slot: number): void {
	const { p, stack } = packet;
	p.comment(what);
	p.store(stack.slots.key, slot);
	emitCount(packet, what, stack.slots.key, stack.slots.length);
}
