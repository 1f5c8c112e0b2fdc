/** mmap(2) of a descriptor as a Uint8Array that cannot outlive the mapping. */
import { check, libcFunction, viewOf } from "./libc.ts";

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;

const mmap = libcFunction<
	[address: null, length: number, protection: number, flags: number, fd: number, offset: number]
>("intptr_t mmap(void *address, size_t length, int protection, int flags, int fd, long offset)");
const munmap = libcFunction<[address: bigint, length: number]>("int munmap(intptr_t address, size_t length)");

export interface MapOptions {
	/** Writes to `bytes` reach the object. Default false: they are a fault of the program (SIGSEGV). */
	readonly writable?: boolean;
}

/** Shared memory, unmapped when disposed: `bytes` is then empty, not dangling. */
export class MappedMemory implements Disposable {
	readonly bytes: Uint8Array;
	#address: number;
	readonly #length: number;

	/** Maps the first `length` bytes of `fd`. Throws KERNEL_SYSCALL saying `doing`. */
	constructor(fd: number, length: number, doing: string, options: MapOptions = {}) {
		const protection = options.writable === true ? PROT_READ | PROT_WRITE : PROT_READ;
		this.#length = length;
		this.#address = check(mmap(null, length, protection, MAP_SHARED, fd, 0), doing);
		this.bytes = viewOf(BigInt(this.#address), length);
	}

	[Symbol.dispose](): void {
		if (this.#address === 0) return;
		// Taking the buffer away first leaves every view of it with length 0.
		structuredClone(this.bytes.buffer, { transfer: [this.bytes.buffer as ArrayBuffer] });
		munmap(BigInt(this.#address), this.#length);
		this.#address = 0;
	}
}
