/**
 * Waits for descriptors in Node's event loop (epoll(7)): sockets, ring buffers, everything that the kernel
 * can poll.
 *
 * Node does not expose its own epoll instance. This module has one for all descriptors of the process; one of
 * libuv's threads waits in it as long as anything waits, and keeps the process alive. Nothing is left when
 * nothing waits any more.
 */
import { closeSync, readSync, writeSync } from "node:fs";
import { arch } from "node:process";
import { Layout } from "./layout.ts";
import { addressOf, check, libcFunction, libcFunctionInThread } from "./libc.ts";

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL = { ADD: 1, DEL: 2, MOD: 3 } as const;
const EPOLLIN = 0x001;
const EPOLLOUT = 0x004;
/** After one event the descriptor is disabled until it is armed again: a slow reader is not called twice. */
const EPOLLONESHOT = 1 << 30;
const EFD_CLOEXEC_NONBLOCK = 0o2004000;
const FOR_EVER = -1;

/** struct epoll_event, packed on x86-64 only; `fd` is the lower half of its data. */
const EVENT = new Layout({
	events: "u32",
	...(arch === "x64" ? {} : { _pad: "u32" }),
	fd: "u32",
	_data: "u32",
});
const MOST_EVENTS = 64;

const epollCreate = libcFunction<[flags: number]>("int epoll_create1(int flags)");
const epollControl = libcFunction<[epoll: number, operation: number, fd: number, event: Uint8Array]>(
	"int epoll_ctl(int epfd, int op, int fd, void *event)",
);
const epollWait = libcFunctionInThread<[epoll: number, events: bigint, count: number, timeoutMs: number]>(
	"int epoll_wait(int epfd, intptr_t events, int maxevents, int timeout)",
);
const eventfd = libcFunction<[initial: number, flags: number]>(
	"int eventfd(unsigned int initval, int flags)",
);

interface Listener {
	readonly events: number;
	readonly ready: () => void;
}

class Poller {
	readonly #epoll: number;
	/** A write to it makes the thread return. */
	readonly #wake: number;
	readonly #listeners = new Map<number, Listener>();
	readonly #events = new Uint8Array(EVENT.size * MOST_EVENTS);
	#isWaiting = false;
	/** libuv joins its threads when the process exits. */
	readonly #onExit = () => this.#wakeUp();

	constructor() {
		this.#epoll = check(epollCreate(EPOLL_CLOEXEC), "create an epoll instance");
		try {
			this.#wake = check(eventfd(0, EFD_CLOEXEC_NONBLOCK), "create an event descriptor");
		} catch (error) {
			closeSync(this.#epoll);
			throw error;
		}
		this.#control(EPOLL_CTL.ADD, this.#wake, EPOLLIN);
		process.once("exit", this.#onExit);
	}

	add(fd: number, listener: Listener): void {
		if (this.#listeners.has(fd)) throw new RangeError(`something already waits for descriptor ${fd}`);
		const result = this.#control(EPOLL_CTL.ADD, fd, listener.events | EPOLLONESHOT);
		if (result < 0 && this.#listeners.size === 0 && !this.#isWaiting) this.#close();
		check(result, `wait for descriptor ${fd}`);
		this.#listeners.set(fd, listener);
		this.#wait();
	}

	/** Must precede closing the descriptor; the kernel itself has removed a closed one. */
	remove(fd: number): void {
		if (!this.#listeners.delete(fd)) return;
		this.#control(EPOLL_CTL.DEL, fd, 0);
		if (this.#listeners.size === 0) this.#wakeUp();
	}

	#wait(): void {
		if (this.#isWaiting) return;
		this.#isWaiting = true;
		epollWait([this.#epoll, addressOf(this.#events), MOST_EVENTS, FOR_EVER], (count) => {
			this.#isWaiting = false;
			try {
				this.#dispatch(count);
			} finally {
				this.#goOn();
			}
		});
	}

	/** Promises that have just been resolved may wait again before the thread does. */
	#goOn(): void {
		setImmediate(() => {
			if (this.#listeners.size > 0) this.#wait();
			else if (!this.#isWaiting) this.#close();
		});
	}

	#dispatch(count: number): void {
		for (let index = 0; index < count; index++) {
			const { fd } = EVENT.decode(this.#events.subarray(index * EVENT.size, (index + 1) * EVENT.size));
			if (fd === this.#wake) {
				readSync(this.#wake, new Uint8Array(8));
				continue;
			}
			const listener = this.#listeners.get(fd);
			if (listener === undefined) continue;
			listener.ready();
			// Level-triggered: if data is left, it is reported at once.
			if (this.#listeners.get(fd) === listener)
				this.#control(EPOLL_CTL.MOD, fd, listener.events | EPOLLONESHOT);
		}
	}

	#control(operation: number, fd: number, events: number): number {
		return epollControl(this.#epoll, operation, fd, EVENT.encode({ events, fd }));
	}

	#wakeUp(): void {
		if (this.#isWaiting) writeSync(this.#wake, new Uint8Array(BigUint64Array.of(1n).buffer));
	}

	#close(): void {
		if (poller !== this) return;
		poller = undefined;
		process.off("exit", this.#onExit);
		closeSync(this.#wake);
		closeSync(this.#epoll);
	}
}

let poller: Poller | undefined;

/**
 * Calls `ready` in the event loop whenever `fd` is readable, until disposed, which must precede closing the
 * descriptor. Reads must not block: the descriptor may be empty after all. Throws SyscallError (EPERM for a
 * descriptor that cannot be polled, such as a file's), RangeError if something already waits for it.
 */
export function watchReadable(fd: number, ready: () => void): Disposable {
	return watch(fd, EPOLLIN, ready);
}

/** The same for writable: a connection is established, or has failed. */
export function watchWritable(fd: number, ready: () => void): Disposable {
	return watch(fd, EPOLLOUT, ready);
}

function watch(fd: number, events: number, ready: () => void): Disposable {
	poller ??= new Poller();
	const own = poller;
	own.add(fd, { events, ready });
	return { [Symbol.dispose]: () => own.remove(fd) };
}

/**
 * The part of an AbortSignal that a wait needs, for projects that have the types of neither Node nor
 * browsers.
 */
export interface WaitSignal {
	readonly aborted: boolean;
	readonly reason: unknown;
	addEventListener(type: "abort", listener: () => void, options: { readonly once: boolean }): void;
	removeEventListener(type: "abort", listener: () => void): void;
}

export interface WaitOptions {
	/** Default: Infinity, no limit. */
	readonly timeoutMs?: number;
	readonly signal?: WaitSignal | undefined;
}

/**
 * Returns true once one of the descriptors is readable, false after `timeoutMs`. Rejects with the signal's
 * reason if it aborts, or as {@link watchReadable} throws.
 */
export async function untilReadable(fds: readonly number[], options: WaitOptions = {}): Promise<boolean> {
	const { timeoutMs, signal } = options;
	if (signal?.aborted === true) throw signal.reason;
	using waiting = new DisposableStack();
	return await new Promise<boolean>((resolve, reject) => {
		for (const fd of fds) waiting.use(watchReadable(fd, () => resolve(true)));
		// A timer of Node treats Infinity as one millisecond.
		if (timeoutMs !== undefined && timeoutMs !== Number.POSITIVE_INFINITY) {
			const timer = setTimeout(() => resolve(false), timeoutMs);
			waiting.defer(() => clearTimeout(timer));
		}
		if (signal !== undefined) {
			const abort = () => reject(signal.reason);
			signal.addEventListener("abort", abort, { once: true });
			waiting.defer(() => signal.removeEventListener("abort", abort));
		}
	});
}
