/**
 * Reads a BPF_MAP_TYPE_RINGBUF (Linux 5.8+): records in the order in which programs reserved them, in memory
 * shared with the kernel (Documentation/bpf/ringbuf.rst).
 *
 * A reader takes the available records ({@link RingBuffer.read}), or waits for them in the event loop
 * ({@link RingBuffer.records}). If the buffer is full, the program's call fails.
 */
import { MappedMemory, untilReadable, type WaitSignal } from "@l3dsr/linux";
import type { Codec } from "./codec.ts";
import { BpfMap } from "./map.ts";
import { BPF_MAP_TYPE, type MapSpec } from "./spec.ts";

const PAGE_BYTES = 4096;
/** Before each record: its length with the two bits below, and a number for the kernel's own use. */
const HEADER_BYTES = 8;
/** The program that reserved the record has not submitted it yet. */
const BPF_RINGBUF_BUSY_BIT = 0x8000_0000;
const BPF_RINGBUF_DISCARD_BIT = 0x4000_0000;

/** The maximum number of records that are copied before the iterating code sees the first. */
const MOST_AT_ONCE = 1024;

/** Space that a record of `length` bytes takes in the buffer, in bytes. */
export function recordBytes(length: number): number {
	return HEADER_BYTES + ((length + 7) & ~7);
}

/** A ring buffer with space for at least `bytes`. */
export function ringBufferSpec(name: string, bytes: number): MapSpec {
	const maxEntries = Math.max(PAGE_BYTES, 2 ** Math.ceil(Math.log2(bytes)));
	return { name, type: "BPF_MAP_TYPE_RINGBUF", keySize: 0, valueSize: 0, maxEntries };
}

/** `R`: the type of decoded records; without a decoder, records are bytes. */
export class RingBuffer<R = Uint8Array> implements Disposable {
	readonly map: BpfMap;
	readonly #consumer: MappedMemory;
	readonly #pages: MappedMemory;
	/** The positions of the reader and of the programs' reservations, in bytes since the beginning. */
	readonly #consumerPosition: BigUint64Array;
	readonly #producerPosition: BigUint64Array;
	readonly #data: Uint8Array;
	readonly #headers: Uint32Array;
	readonly #mask: bigint;
	readonly #decode: (bytes: Uint8Array) => R;

	/** Takes ownership of `map`. Throws SyscallError. */
	constructor(map: BpfMap, decode: (bytes: Uint8Array) => R) {
		const { name, type, maxEntries } = map.info;
		if (type !== BPF_MAP_TYPE.BPF_MAP_TYPE_RINGBUF) throw new RangeError(`map ${name} is not a ring buffer`);
		this.map = map;
		this.#decode = decode;
		const doing = `map the memory of ring buffer ${name}`;
		// The consumer's page is writable; the producer's page and the data, which is mapped twice, are
		// read-only.
		this.#consumer = new MappedMemory(map.fd, PAGE_BYTES, doing, { writable: true });
		try {
			this.#pages = new MappedMemory(map.fd, 2 * PAGE_BYTES + 2 * maxEntries, doing);
		} catch (error) {
			this.#consumer[Symbol.dispose]();
			throw error;
		}
		const consumer = this.#consumer.bytes;
		const pages = this.#pages.bytes;
		this.#consumerPosition = new BigUint64Array(consumer.buffer, consumer.byteOffset, 1);
		this.#producerPosition = new BigUint64Array(pages.buffer, pages.byteOffset + PAGE_BYTES, 1);
		this.#data = pages.subarray(2 * PAGE_BYTES);
		this.#headers = new Uint32Array(pages.buffer, pages.byteOffset + 2 * PAGE_BYTES, maxEntries / 4);
		this.#mask = BigInt(maxEntries) - 1n;
	}

	/**
	 * `record`: the records' `struct()`; bytes if it is left out. Throws SyscallError; then nothing is left
	 * behind.
	 */
	static create(spec: MapSpec): RingBuffer;
	static create<R>(spec: MapSpec, record: Pick<Codec<never, R>, "decode">): RingBuffer<R>;
	static create(spec: MapSpec, record?: Pick<Codec<never, unknown>, "decode">): RingBuffer<unknown> {
		const map = BpfMap.create(spec);
		try {
			return new RingBuffer(map, (bytes) => (record === undefined ? bytes : record.decode(bytes)));
		} catch (error) {
			map[Symbol.dispose]();
			throw error;
		}
	}

	/**
	 * Passes a copy of every complete record to `receive`, at most `most`, and frees their space. Returns
	 * their number.
	 */
	read(receive: (record: R) => void, most = Number.POSITIVE_INFINITY): number {
		let position = Atomics.load(this.#consumerPosition, 0);
		const end = Atomics.load(this.#producerPosition, 0);
		let count = 0;
		while (position < end && count < most) {
			const at = Number(position & this.#mask);
			const header = Atomics.load(this.#headers, at / 4);
			if ((header & BPF_RINGBUF_BUSY_BIT) !== 0) break;
			const length = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
			// The data is mapped twice in a row, so a record never wraps.
			const record =
				(header & BPF_RINGBUF_DISCARD_BIT) === 0
					? this.#data.slice(at + HEADER_BYTES, at + HEADER_BYTES + length)
					: undefined;
			position += BigInt(recordBytes(length));
			Atomics.store(this.#consumerPosition, 0, position);
			if (record === undefined) continue;
			count++;
			receive(this.#decode(record));
		}
		return count;
	}

	/**
	 * Waits for records with epoll and yields them, until `signal` aborts. A program that sends with
	 * BPF_RB_NO_WAKEUP does not wake the reader.
	 */
	async *records(signal?: WaitSignal): AsyncGenerator<R, void, void> {
		while (signal?.aborted !== true) {
			const batch: R[] = [];
			this.read((record) => batch.push(record), MOST_AT_ONCE);
			yield* batch;
			if (batch.length === 0 && !(await this.#isReadable(signal))) return;
		}
	}

	[Symbol.asyncIterator](): AsyncGenerator<R, void, void> {
		return this.records();
	}

	/** Returns false if the signal aborts first. */
	async #isReadable(signal: WaitSignal | undefined): Promise<boolean> {
		try {
			return await untilReadable([this.map.fd], { signal });
		} catch (error) {
			if (signal?.aborted === true) return false;
			throw error;
		}
	}

	[Symbol.dispose](): void {
		this.#consumer[Symbol.dispose]();
		this.#pages[Symbol.dispose]();
		this.map[Symbol.dispose]();
	}
}
