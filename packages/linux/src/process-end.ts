/** _exit(2). */
import { libcFunction } from "./libc.ts";

const exit = libcFunction<[status: number]>("int _exit(int status)");

/**
 * Ends this process at once: without the handlers of its exit and without those of the C library, so nothing
 * that they would still write is written. The kernel frees memory, threads and descriptors.
 */
export function endAtOnce(status: number): never {
	exit(status);
	throw new Error("_exit(2) has returned");
}
