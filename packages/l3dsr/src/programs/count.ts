/** Counts packets: one lookup in a per-CPU map, which the JIT inlines, and two additions. */
import { type MapSpec, type Place, type ProgramBuilder, struct, type Value, view } from "@l3dsr/bpf";
import type { Packet } from "./packet.ts";

/** The value of a counter map. */
export const COUNTER = struct("counter", { packets: "u64", bytes: "u64" });
export const COUNTER_BYTES = COUNTER.bytes;

/** The slot for each reason why the transport header of a rewritten packet cannot be reached. */
export const MALFORMED_SLOT = {
	"transport-cut": 0,
	"extension-chain-cut": 1,
	"extension-chain-long": 2,
} as const;

/** The value of the stack's `malformed` without a reason. */
export const NOTHING_WRONG = 0xffff_ffff;

/** Adds one packet of `length` bytes to the counter whose slot is stored at `slot`. */
export function emitCount(
	{ p, maps }: { readonly p: ProgramBuilder; readonly maps: { readonly counters: MapSpec } },
	what: string,
	slot: Place,
	length: Value | Place,
): void {
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

/** The same for a constant slot, with the packet's length from the stack. */
export function emitCountIn(packet: Packet, what: string, slot: number): void {
	const { p, stack } = packet;
	p.comment(what);
	p.store(stack.slots.key, slot);
	emitCount(packet, what, stack.slots.key, stack.slots.length);
}
