/**
 * Descriptions of programs and maps as plain, deterministic data, before any kernel has seen them.
 *
 * A spec holds no descriptor; instructions refer to maps by name. Loading (program.ts, map.ts) turns a spec
 * into an object that owns a descriptor.
 */
import { type EncodedInstructions, encodeWithoutMaps } from "./asm/encode.ts";
import { buildError, type Instruction, slotsOf } from "./asm/instruction.ts";
import type { AttachTypeName } from "./attach/attach-type.ts";

/** enum bpf_map_type, uapi/linux/bpf.h: the types in use. */
export const BPF_MAP_TYPE = {
	BPF_MAP_TYPE_HASH: 1,
	BPF_MAP_TYPE_ARRAY: 2,
	BPF_MAP_TYPE_PROG_ARRAY: 3,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY: 4,
	BPF_MAP_TYPE_PERCPU_HASH: 5,
	BPF_MAP_TYPE_PERCPU_ARRAY: 6,
	BPF_MAP_TYPE_LRU_HASH: 9,
	BPF_MAP_TYPE_LRU_PERCPU_HASH: 10,
	BPF_MAP_TYPE_LPM_TRIE: 11,
	BPF_MAP_TYPE_DEVMAP_HASH: 25,
	BPF_MAP_TYPE_RINGBUF: 27,
} as const;
export type MapTypeName = keyof typeof BPF_MAP_TYPE;

/** enum bpf_prog_type: the types in use. */
export const BPF_PROG_TYPE = {
	BPF_PROG_TYPE_SOCKET_FILTER: 1,
	BPF_PROG_TYPE_SCHED_CLS: 3,
	BPF_PROG_TYPE_XDP: 6,
	BPF_PROG_TYPE_TRACING: 26,
	BPF_PROG_TYPE_SYSCALL: 31,
} as const;
export type ProgramTypeName = keyof typeof BPF_PROG_TYPE;

/** map_flags of BPF_MAP_CREATE. */
export const BPF_MAP_FLAG = {
	BPF_F_NO_PREALLOC: 1 << 0,
	BPF_F_RDONLY: 1 << 3,
	BPF_F_WRONLY: 1 << 4,
	BPF_F_RDONLY_PROG: 1 << 7,
	BPF_F_WRONLY_PROG: 1 << 8,
	BPF_F_MMAPABLE: 1 << 10,
} as const;

/** The longest name that the kernel keeps: BPF_OBJ_NAME_LEN without the terminating zero. */
export const NAME_BYTES = 15;

/** An element that a map holds from the start; in a per-CPU map, every CPU gets this value. */
export interface MapElement {
	readonly key: Uint8Array;
	readonly value: Uint8Array;
}

export interface MapSpec {
	/** Letters, digits, `_` and `.`, at most 15; instructions refer to it. */
	readonly name: string;
	readonly type: MapTypeName;
	/** Size of a key in bytes (4 for arrays). */
	readonly keySize: number;
	/** Size of a value in bytes; for per-CPU maps, of one CPU's value. */
	readonly valueSize: number;
	readonly maxEntries: number;
	/** BPF_MAP_FLAG bits; 0 if absent. */
	readonly flags?: number;
	readonly contents?: readonly MapElement[];
	/** The contents are final: with BPF_F_RDONLY_PROG, the verifier treats them as constants. */
	readonly frozen?: boolean;
}

/** A map of programs for `tailCall`. The kernel empties it when the last process that has it open ends. */
export function programArraySpec(name: string, maxEntries: number): MapSpec {
	return { name, type: "BPF_MAP_TYPE_PROG_ARRAY", keySize: 4, valueSize: 4, maxEntries };
}

export interface ProgramSpec {
	/** Letters, digits, `_` and `.`, at most 15. */
	readonly name: string;
	readonly type: ProgramTypeName;
	readonly expectedAttachType?: AttachTypeName;
	/**
	 * XDP only: accepts packets in several buffers, such as jumbo frames (BPF_F_XDP_HAS_FRAGS, Linux 5.18).
	 */
	readonly takesFragments?: boolean;
	/**
	 * XDP and SCHED_CLS only: an `ExitLink` can observe its exit. The program is loaded with the type of its
	 * argument, or without it if the kernel does not support that.
	 */
	readonly traceable?: boolean;
	/** Without `GPL`, helpers marked gpl_only are refused. */
	readonly license: string;
	readonly instructions: readonly Instruction[];
	/** Every map that the instructions name, and maps that are only bound to the program. */
	readonly maps: readonly MapSpec[];
}

/** A program with encoded instructions, for a program that is loaded repeatedly with different map contents. */
export interface EncodedProgram extends Omit<ProgramSpec, "instructions"> {
	readonly code: EncodedInstructions;
	/** Without them, a refused load throws SyscallError instead of VerifierError. */
	readonly instructions?: ProgramSpec["instructions"];
}

/**
 * Throws BpfError (BUILD) for a map that `spec.maps` lacks, an unknown label, or a number that does not fit
 * its field.
 */
export function encodeProgram(spec: ProgramSpec): EncodedProgram {
	const code = encodeWithoutMaps(spec.instructions);
	const known = new Set(spec.maps.map((map) => map.name));
	for (const name of mapsUsed(code)) {
		if (!known.has(name)) throw buildError(`encode program ${spec.name}: no map ${name} in its spec`);
	}
	return { ...spec, code };
}

/** Names of the maps that the instructions refer to. */
export function mapsUsed({ maps }: EncodedInstructions): ReadonlySet<string> {
	return new Set([...maps.values()].map(({ name }) => name));
}

/**
 * The comment that covers a slot (the number in a verifier's log line); undefined before the first comment
 * and past the end.
 */
export function commentAt(spec: Pick<ProgramSpec, "instructions">, slot: number): string | undefined {
	let comment: string | undefined;
	let at = 0;
	for (const instruction of spec.instructions) {
		comment = instruction.comment ?? comment;
		at += slotsOf(instruction);
		if (slot < at) return slot < 0 ? undefined : comment;
	}
	return undefined;
}
