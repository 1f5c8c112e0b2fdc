/** Maps in the kernel: each object owns a descriptor. */

import { closeSync } from "node:fs";
import {
	check,
	ERRNO,
	type MapOptions,
	MappedMemory,
	possibleCpus,
	withMemoryLimitRaised,
} from "@l3dsr/linux";
import { BPF_MAP_INFO, bpf } from "./bpf-syscall.ts";
import { BpfError } from "./error.ts";
import { deleteBatch, lookupBatch, updateBatch } from "./map-batch.ts";
import { type MapId, mapIdOf } from "./object-id.ts";
import { BPF_MAP_FLAG, BPF_MAP_TYPE, type MapElement, type MapSpec, NAME_BYTES } from "./spec.ts";

/** How an update treats a key that exists or does not exist (BPF_ANY, BPF_NOEXIST, BPF_EXIST). */
const UPDATE_FLAGS = { any: 0, new: 1, existing: 2 } as const;
export type UpdateMode = keyof typeof UPDATE_FLAGS;

const PER_CPU_TYPES: ReadonlySet<number> = new Set([
	BPF_MAP_TYPE.BPF_MAP_TYPE_PERCPU_HASH,
	BPF_MAP_TYPE.BPF_MAP_TYPE_PERCPU_ARRAY,
	BPF_MAP_TYPE.BPF_MAP_TYPE_LRU_PERCPU_HASH,
]);

const PAGE_BYTES = 4096;

/** The fields of struct bpf_map_info. */
export interface MapInfo {
	readonly id: MapId;
	/** BPF_MAP_TYPE_*; a number, because the kernel may have types that are not listed here. */
	readonly type: number;
	readonly name: string;
	readonly keySize: number;
	/** In bytes; for per-CPU maps, the size of one CPU's value. */
	readonly valueSize: number;
	readonly maxEntries: number;
	readonly flags: number;
}

/** A map with its elements. Keys and values are bytes; see {@link perCpuValues} for those of per-CPU maps. */
export class BpfMap implements Disposable {
	readonly info: MapInfo;
	/**
	 * Size of a value in user space, in bytes: for a per-CPU map all CPUs' values together, each rounded up
	 * to 8.
	 */
	readonly valueBytes: number;
	#fd: number;

	private constructor(fd: number) {
		this.#fd = fd;
		this.info = readInfo(fd);
		this.valueBytes = PER_CPU_TYPES.has(this.info.type)
			? roundUp(this.info.valueSize, 8) * possibleCpus()
			: this.info.valueSize;
	}

	/**
	 * Creates the map with its contents, and freezes it if the spec says so. Throws SyscallError; then
	 * nothing is left behind.
	 */
	static create(spec: MapSpec): BpfMap {
		const { result } = withMemoryLimitRaised(() =>
			bpf("BPF_MAP_CREATE", {
				map_type: BPF_MAP_TYPE[spec.type],
				key_size: spec.keySize,
				value_size: spec.valueSize,
				max_entries: spec.maxEntries,
				map_flags: spec.flags ?? 0,
				map_name: spec.name.slice(0, NAME_BYTES),
			}),
		);
		const map = BpfMap.#own(check(result, `create map ${spec.name} (${spec.type})`));
		try {
			if (spec.contents !== undefined) map.updateAll(spec.contents);
			if (spec.frozen === true) map.freeze();
			return map;
		} catch (error) {
			map[Symbol.dispose]();
			throw error;
		}
	}

	/** Opens the map with that id. Throws SyscallError (ENOENT) if it is gone. */
	static open(id: MapId): BpfMap {
		return BpfMap.#own(check(bpf("BPF_MAP_GET_FD_BY_ID", { id }).result, `open map ${id}`));
	}

	static #own(fd: number): BpfMap {
		try {
			return new BpfMap(fd);
		} catch (error) {
			closeSync(fd);
			throw error;
		}
	}

	/** Throws if the map has been disposed. */
	get fd(): number {
		if (this.#fd < 0) throw new RangeError(`map ${this.info.name} is closed`);
		return this.#fd;
	}

	/** A copy of the value of `key`, or undefined if the map does not have it. */
	lookup(key: Uint8Array): Uint8Array | undefined {
		this.#checkKey(key);
		const value = new Uint8Array(this.valueBytes);
		const { result } = bpf("BPF_MAP_LOOKUP_ELEM", { map_fd: this.fd, key, value });
		if (result === -ERRNO.ENOENT) return undefined;
		check(result, `look up an element of map ${this.info.name}`);
		return value;
	}

	/**
	 * Sets the value of `key`. For a per-CPU map, one CPU's value applies to all; or pass the values of all
	 * CPUs.
	 */
	update(key: Uint8Array, value: Uint8Array, mode: UpdateMode = "any"): void {
		this.#checkKey(key);
		const { result } = bpf("BPF_MAP_UPDATE_ELEM", {
			map_fd: this.fd,
			key,
			value: this.#wholeValue(value),
			flags: UPDATE_FLAGS[mode],
		});
		check(result, `update an element of map ${this.info.name}`);
	}

	/**
	 * Removes `key`; returns false if it did not exist. Throws SyscallError (EINVAL) for arrays, whose
	 * elements cannot be removed.
	 */
	delete(key: Uint8Array): boolean {
		this.#checkKey(key);
		const { result } = bpf("BPF_MAP_DELETE_ELEM", { map_fd: this.fd, key });
		if (result === -ERRNO.ENOENT) return false;
		check(result, `delete an element of map ${this.info.name}`);
		return true;
	}

	/** The key after `key` in the map's own order, or the first one; undefined after the last. */
	nextKey(key?: Uint8Array): Uint8Array | undefined {
		if (key !== undefined) this.#checkKey(key);
		const next = new Uint8Array(this.info.keySize);
		const { result } = bpf("BPF_MAP_GET_NEXT_KEY", { map_fd: this.fd, key: key ?? null, value: next });
		if (result === -ERRNO.ENOENT) return undefined;
		check(result, `walk the keys of map ${this.info.name}`);
		return next;
	}

	/**
	 * All elements, in as few calls as the kernel allows. It may miss elements that are added or removed
	 * meanwhile.
	 */
	entries(): readonly MapElement[] {
		const batch = lookupBatch(this);
		if (batch !== undefined) return batch;
		const elements: MapElement[] = [];
		for (let key = this.nextKey(); key !== undefined; key = this.nextKey(key)) {
			const value = this.lookup(key);
			if (value !== undefined) elements.push({ key, value });
		}
		return elements;
	}

	/**
	 * Sets many elements, in one call if the kernel supports it. Not atomic: after a failure, the first ones
	 * are set.
	 */
	updateAll(elements: readonly MapElement[]): void {
		const whole = elements.map(({ key, value }) => {
			this.#checkKey(key);
			return { key, value: this.#wholeValue(value) };
		});
		if (updateBatch(this, whole)) return;
		for (const { key, value } of whole) this.update(key, value);
	}

	/** Removes many keys, in one call if the kernel supports it; ignores missing keys. */
	deleteAll(keys: readonly Uint8Array[]): void {
		for (const key of keys) this.#checkKey(key);
		if (deleteBatch(this, keys)) return;
		for (const key of keys) this.delete(key);
	}

	/** From now on user space cannot write to the map (programs still can). */
	freeze(): void {
		check(bpf("BPF_MAP_FREEZE", { map_fd: this.fd }).result, `freeze map ${this.info.name}`);
	}

	/** The values of an array created with BPF_F_MMAPABLE, one after the other, each rounded up to 8 bytes. */
	mapMemory(options: MapOptions = {}): MappedMemory {
		const { name, flags, valueSize, maxEntries } = this.info;
		if ((flags & BPF_MAP_FLAG.BPF_F_MMAPABLE) === 0) {
			throw new RangeError(`map ${name} was not created with BPF_F_MMAPABLE`);
		}
		if (options.writable === true && (flags & BPF_MAP_FLAG.BPF_F_RDONLY_PROG) !== 0) {
			throw new BpfError(
				"BUILD",
				`map the memory of map ${name} to write it: the kernel refuses this for a map with BPF_F_RDONLY_PROG`,
				{ hint: "write it with update() before it is frozen, or create it without that flag" },
			);
		}
		const bytes = roundUp(roundUp(valueSize, 8) * maxEntries, PAGE_BYTES);
		return new MappedMemory(this.fd, bytes, `map the memory of map ${name}`, options);
	}

	/** Closes the descriptor; the map lives on while a program or another descriptor refers to it. */
	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}

	#checkKey(key: Uint8Array): void {
		if (key.length === this.info.keySize) return;
		throw new RangeError(
			`a key of map ${this.info.name} has ${this.info.keySize} bytes, this one ${key.length}`,
		);
	}

	#wholeValue(value: Uint8Array): Uint8Array {
		if (value.length === this.valueBytes) return value;
		const { name, valueSize } = this.info;
		if (value.length !== valueSize) {
			throw new RangeError(`a value of map ${name} has ${valueSize} bytes, this one ${value.length}`);
		}
		const whole = new Uint8Array(this.valueBytes);
		for (let at = 0; at < whole.length; at += roundUp(valueSize, 8)) whole.set(value, at);
		return whole;
	}
}

/**
 * Splits an element's value into one value for each CPU, in the order of CPU numbers (if those have no gaps).
 */
export function perCpuValues(map: Pick<BpfMap, "info">, value: Uint8Array): readonly Uint8Array[] {
	const step = roundUp(map.info.valueSize, 8);
	return Array.from({ length: value.length / step }, (_, cpu) =>
		value.subarray(cpu * step, cpu * step + map.info.valueSize),
	);
}

/** Sums a per-CPU value of u64 counters over all CPUs. */
export function sumPerCpu(map: Pick<BpfMap, "info">, value: Uint8Array): readonly bigint[] {
	const sums = Array.from({ length: map.info.valueSize / 8 }, () => 0n);
	for (const part of perCpuValues(map, value)) {
		const view = new DataView(part.buffer, part.byteOffset, part.byteLength);
		for (const [index, sum] of sums.entries()) sums[index] = sum + view.getBigUint64(index * 8, true);
	}
	return sums;
}

/** The key of the array element with this index. */
export function arrayKey(index: number): Uint8Array {
	const key = new Uint8Array(4);
	new DataView(key.buffer).setUint32(0, index, true);
	return key;
}

function readInfo(fd: number): MapInfo {
	const info = new Uint8Array(BPF_MAP_INFO.size);
	const reply = bpf("BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: fd, info_len: info.length, info });
	check(reply.result, "read the description of a map");
	const decoded = BPF_MAP_INFO.decode(info);
	return {
		id: mapIdOf(decoded.id),
		type: decoded.type,
		name: decoded.name,
		keySize: decoded.key_size,
		valueSize: decoded.value_size,
		maxEntries: decoded.max_entries,
		flags: decoded.map_flags,
	};
}

function roundUp(value: number, step: number): number {
	return Math.ceil(value / step) * step;
}
