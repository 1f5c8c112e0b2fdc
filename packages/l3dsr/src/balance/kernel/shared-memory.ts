/** The memory of a map that programs read while it is written. */
import type { BpfMap } from "@l3dsr/bpf";
import type { MappedMemory } from "@l3dsr/linux";

/** Byte by byte, and as numbers of 16 and of 32 bits: all fields are aligned to their size. */
export interface SharedMemory {
	readonly memory: MappedMemory;
	readonly halves: Uint16Array;
	readonly words: Uint32Array;
}

/** Maps all of it, to be read and written. Throws SyscallError. */
export function sharedMemory(map: BpfMap): SharedMemory {
	const memory = map.mapMemory({ writable: true });
	const { buffer, byteOffset, byteLength } = memory.bytes;
	return {
		memory,
		halves: new Uint16Array(buffer, byteOffset, byteLength / 2),
		words: new Uint32Array(buffer, byteOffset, byteLength / 4),
	};
}
