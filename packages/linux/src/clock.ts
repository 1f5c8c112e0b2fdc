/** A clock for deadlines. `performance.now()` would be the same, and loads a dozen of Node's modules first. */

/** Milliseconds since some time in the past; never goes back (clock_gettime(2), CLOCK_MONOTONIC). */
export function monotonicMs(): number {
	const [seconds, nanoseconds] = process.hrtime();
	return seconds * 1000 + nanoseconds / 1e6;
}
