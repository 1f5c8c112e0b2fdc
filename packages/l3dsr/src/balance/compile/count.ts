/** Counts packets that are not forwarded. */
import { view } from "@l3dsr/bpf";
import { COUNTER } from "../../programs/count.ts";
import { REASONS, type Reason } from "../reason.ts";
import type { Director } from "./frame.ts";

/** Counts one packet for `reason`. */
export function emitCountReason(director: Director, reason: Reason): void {
	director.p.store(director.slots.key, REASONS[reason].slot);
	emitCountKey(director);
}

/** Counts one packet for the reason in the stack's `key`. */
export function emitCountKey({ p, slots, maps }: Director): void {
	const counted = p.label("counted");
	{
		using found = p.lookup(maps.counters, slots.key, counted, "counter");
		p.increment(view(found, COUNTER).packets, 1);
	}
	p.place(counted);
}
