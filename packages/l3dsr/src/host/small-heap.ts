/**
 * Limits the heap of a process that runs for months beside a host's real work. V8 trades memory for time: the young
 * generation doubles whenever much survives a collection, up to 128 MB, and the old one may grow to several times the
 * size of its live objects. In a process that only works now and then, most of that is garbage.
 */
import { PerformanceObserver } from "node:perf_hooks";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

/** Both semi-spaces, in bytes. */
const YOUNG_BYTES = 8 << 20;
/** How far the old generation may grow beyond what was live at its last collection. V8's own value is up to 300. */
const GROWING_PERCENT = 50;

/**
 * Applies from now on, until the process ends. The young generation does not grow beyond YOUNG_BYTES. V8 shrinks it
 * when little happens, and then it may grow again. V8 reads both flags whenever it sizes a heap.
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

/** The size that V8 has reserved for the young generation. */
function youngBytes(): number {
	return getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? 0;
}
