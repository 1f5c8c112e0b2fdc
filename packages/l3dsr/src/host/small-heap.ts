/**
 * The heap of a process that runs for months beside the work that a host is there for. V8 spends memory to save time: the
 * young generation doubles whenever much survives a collection, up to 128 MB, and the old one may grow to several times
 * what is alive in it. For a process that works now and then, most of that is garbage that waits.
 */
import { PerformanceObserver } from "node:perf_hooks";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

/** Both of its halves, in bytes. */
const YOUNG_BYTES = 8 << 20;
/** How far the old generation may grow beyond what was alive at its last collection. V8 takes up to 300. */
const GROWING_PERCENT = 50;

/**
 * From now on, until the process ends. The young generation does not grow once it has YOUNG_BYTES; V8 makes it smaller by
 * itself when little happens, and then it may grow again. V8 reads both flags whenever it sizes a heap.
 */
export function keepHeapSmall(): void {
	setFlagsFromString(`--heap-growing-percent=${GROWING_PERCENT}`);
	let isFree = true;
	new PerformanceObserver(() => {
		const mayGrow = youngBytes() < YOUNG_BYTES;
		if (mayGrow === isFree) return;
		isFree = mayGrow;
		setFlagsFromString(`--semi-space-growth-factor=${mayGrow ? 2 : 1}`);
	}).observe({ entryTypes: ["gc"] });
}

/** As much as V8 has taken for it. */
function youngBytes(): number {
	return getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? 0;
}
