/** A clock for deadlines. `performance.now()` gives the same, but first loads a dozen of Node's modules. */

/** Milliseconds since an unspecified start; never goes back (clock_gettime(2), CLOCK_MONOTONIC). */
export function monotonicMs(): number {
	const [seconds, nanoseconds] = process.hrtime();
	return seconds * 1000 + nanoseconds / 1e6;
}
