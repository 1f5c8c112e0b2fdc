/** An eBPF instruction as a value: its encoded fields and the names that make it readable. */
import { BpfError } from "../error.ts";
import { BPF_LD_IMM64 } from "./opcode.ts";

/**
 * r0: result, r1-r5: arguments (lost by a call), r6-r9: preserved by calls, r10: frame pointer (read only).
 */
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;

/** Size of one instruction slot in bytes. */
export const SLOT_BYTES = 8;

/** A map by the name in its MapSpec; the loader replaces the reference by a descriptor. */
export interface MapReference {
	readonly name: string;
	/**
	 * Absent: the map itself (BPF_PSEUDO_MAP_FD), as helpers take it. Present: the address of this byte in
	 * the first value of an array map (BPF_PSEUDO_MAP_VALUE).
	 */
	readonly valueOffset?: number;
}

/**
 * One instruction. Its numeric fields are those of `struct bpf_insn`. If `target` or `map` is present, the
 * field that it replaces (`offset` or `immediate`) is 0 here, and encoding fills it in.
 */
export interface Instruction {
	readonly opcode: number;
	readonly dst: Register;
	/** A register, or the kind of the immediate (BPF_PSEUDO_*). */
	readonly src: number;
	/** Signed 16 bits: bytes of a load or store, slots of a jump. */
	readonly offset: number;
	/** Signed 32 bits; for BPF_LD_IMM64, the 64 bits unsigned. */
	readonly immediate: number | bigint;
	/** The label of this instruction, unique in its program. */
	readonly symbol?: string;
	/** The label that this jump or call goes to. */
	readonly target?: string;
	readonly map?: MapReference;
	/** The purpose of this instruction and the following ones, up to the next comment. */
	readonly comment?: string;
	/** This instruction in the program's terms: `dscp >>= 2`. */
	readonly note?: string;
}

/**
 * Number of slots that an instruction takes: 2 for BPF_LD_IMM64, else 1. Jumps and the verifier's log count
 * slots.
 */
export function slotsOf(instruction: Pick<Instruction, "opcode">): 1 | 2 {
	return instruction.opcode === BPF_LD_IMM64 ? 2 : 1;
}

/** An error in the description of a program, thrown while it is built. */
export function buildError(message: string, hint?: string): BpfError {
	return new BpfError("BUILD", message, { hint });
}
