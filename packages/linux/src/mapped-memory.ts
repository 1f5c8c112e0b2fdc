/** mmap(2) of a descriptor as a Uint8Array that never dangles. */
import { check, libcFunction, viewOf } from "./libc.ts";

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;

const mmap = libcFunction<
	[address: bigint, length: number, protection: number, flags: number, fd: number, offset: number]
>("intptr_t mmap(intptr_t address, size_t length, int protection, int flags, int fd, long offset)");
const munmap = libcFunction<[address: bigint, length: number]>("int munmap(intptr_t address, size_t length)");

export interface MapOptions {
	/** Writes to `bytes` reach the object. Default false: a write crashes the process (SIGSEGV). */
	readonly writable?: boolean;
}

interface Range {
	readonly address: bigint;
	readonly length: number;
}

/** Frees the address space once no view can be reached any more. */
const unreachable = new FinalizationRegistry<Range>(({ address, length }) => munmap(address, length));

/**
 * Memory shared with the kernel object behind a descriptor, released when disposed. Views that still exist
 * then read zeros: JavaScript cannot revoke a view, so empty pages replace the object.
 */
export class MappedMemory implements Disposable {
	readonly bytes: Uint8Array;
	readonly #range: Range;
	#open = true;

	/**
	 * Maps the first `length` bytes of `fd`, a multiple of the page size. Throws SyscallError with `doing`.
	 */
	constructor(fd: number, length: number, doing: string, options: MapOptions = {}) {
		const protection = options.writable === true ? PROT_READ | PROT_WRITE : PROT_READ;
		const address = BigInt(check(mmap(0n, length, protection, MAP_SHARED, fd, 0), doing));
		this.#range = { address, length };
		this.bytes = viewOf(address, length);
		unreachable.register(this.bytes.buffer, this.#range);
	}

	[Symbol.dispose](): void {
		if (!this.#open) return;
		const { address, length } = this.#range;
		const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS;
		check(mmap(address, length, PROT_READ | PROT_WRITE, flags, -1, 0), "let go of mapped memory");
		this.#open = false;
	}
}
