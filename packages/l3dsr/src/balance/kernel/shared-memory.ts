/** The memory of a map that programs read while this process writes it. */
import type { BpfMap } from "@l3dsr/bpf";
import type { MappedMemory } from "@l3dsr/linux";

/** The memory as bytes, and as 16-bit and 32-bit numbers; all fields are aligned to their size. */
export interface SharedMemory {
	readonly memory: MappedMemory;
	readonly halves: Uint16Array;
	readonly words: Uint32Array;
}

/** Maps the whole value for reading and writing. Throws SyscallError. */
export function sharedMemory(map: BpfMap): SharedMemory {
	const memory = map.mapMemory({ writable: true });
	const { buffer, byteOffset, byteLength } = memory.bytes;
	return {
		memory,
		halves: new Uint16Array(buffer, byteOffset, byteLength / 2),
		words: new Uint32Array(buffer, byteOffset, byteLength / 4),
	};
}
