/**
 * RLIMIT_MEMLOCK, to which kernels before 5.11 charge maps and programs; the default is too low, for root
 * too.
 */
import { ERRNO } from "./errno.ts";
import { Layout } from "./layout.ts";
import { libcFunction } from "./libc.ts";

const RLIMIT_MEMLOCK = 8;
const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;
const RLIMIT = new Layout({ current: "u64", maximum: "u64" });

const setrlimit = libcFunction<[resource: number, limit: Uint8Array]>(
	"int setrlimit(int resource, const void *limit)",
);

/** Makes the call; if it fails with EPERM, raises this process's limit and makes it again. */
export function withMemoryLimitRaised<T extends { readonly result: number }>(call: () => T): T {
	const first = call();
	if (first.result !== -ERRNO.EPERM) return first;
	const unlimited = RLIMIT.encode({ current: RLIM_INFINITY, maximum: RLIM_INFINITY });
	return setrlimit(RLIMIT_MEMLOCK, unlimited) === 0 ? call() : first;
}
