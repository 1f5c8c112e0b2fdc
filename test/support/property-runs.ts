/**
 * How often properties and fuzz tests run. `make properties` sets L3DSR_PROPERTY_TIMES, and imports this for those that say
 * no number; a property that takes too long for so many runs is content with those of a minute.
 */
import fc from "fast-check";

const TIMES = Number(process.env["L3DSR_PROPERTY_TIMES"] ?? 1);
/** fast-check's own. */
const DEFAULT_RUNS = 100;

if (TIMES !== 1) fc.configureGlobal({ numRuns: runs(DEFAULT_RUNS), interruptAfterTimeLimit: 60_000 });

/** `few` in `make test`. */
export function runs(few: number): number {
	return few * TIMES;
}
