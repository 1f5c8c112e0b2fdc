/** Blocks signals for this thread: some system calls give up if one is pending, and would do so again. */
import { libcFunction } from "./libc.ts";

const SIG_BLOCK = 0;
const SIG_SETMASK = 2;
/** sizeof(sigset_t) in glibc and musl. */
const SIGSET_BYTES = 128;

const pthreadSigmask = libcFunction<[how: number, set: Uint8Array, old: Uint8Array | null]>(
	"int pthread_sigmask(int how, const void *set, void *oldset)",
);

/** Makes the call with all signals blocked that can be; they are delivered after it. */
export function withSignalsHeld<T>(call: () => T): T {
	const before = new Uint8Array(SIGSET_BYTES);
	pthreadSigmask(SIG_BLOCK, new Uint8Array(SIGSET_BYTES).fill(0xff), before);
	try {
		return call();
	} finally {
		pthreadSigmask(SIG_SETMASK, before, null);
	}
}
