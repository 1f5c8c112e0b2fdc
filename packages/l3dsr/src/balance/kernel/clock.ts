/** The tables' clock, which the program reads as bpf_ktime_get_ns(). */
import { TICK_SHIFT } from "../tables/layout.ts";

/** Milliseconds per tick. */
export const TICK_MS = 2 ** TICK_SHIFT / 1e6;

/** CLOCK_MONOTONIC in ticks, the lower 32 bits. */
export function currentTick(): number {
	return Number(BigInt.asUintN(32, process.hrtime.bigint() >> BigInt(TICK_SHIFT)));
}

/** The number of ticks after which at least `ms` have passed. */
export function ticksOf(ms: number): number {
	return Math.ceil((ms * 1e6) / 2 ** TICK_SHIFT) + 1;
}

/** Ticks from one time to a later one; 0 if another process has noted a slightly later time. */
export function ticksBetween(from: number, to: number): number {
	return Math.max(0, (to - from) | 0);
}
