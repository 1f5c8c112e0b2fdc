/** The tables' clock: what the program reads as bpf_ktime_get_ns(). */
import { TICK_SHIFT } from "../tables/layout.ts";

/** A tick in milliseconds. */
export const TICK_MS = 2 ** TICK_SHIFT / 1e6;

/** CLOCK_MONOTONIC in ticks, 32 bits of it. */
export function currentTick(): number {
	return Number(BigInt.asUintN(32, process.hrtime.bigint() >> BigInt(TICK_SHIFT)));
}

/** So many ticks that at least `ms` have passed. */
export function ticksOf(ms: number): number {
	return Math.ceil((ms * 1e6) / 2 ** TICK_SHIFT) + 1;
}

/** From one tick to a later one, as the program counts: in 16 bits. */
export function ticksBetween(from: number, to: number): number {
	return (to - from) & 0xffff;
}
