/**
 * The number of runs of properties and fuzz tests. `make properties` sets L3DSR_PROPERTY_TIMES, and imports
 * this for properties that give no number. A property that would take too long for that many runs ends after
 * a minute.
 */
import fc from "fast-check";

const TIMES = Number(process.env["L3DSR_PROPERTY_TIMES"] ?? 1);
/** fast-check's default. */
const DEFAULT_RUNS = 100;

if (TIMES !== 1) fc.configureGlobal({ numRuns: runs(DEFAULT_RUNS), interruptAfterTimeLimit: 60_000 });

/** `few`: the number of runs in `make test`. */
export function runs(few: number): number {
	return few * TIMES;
}
