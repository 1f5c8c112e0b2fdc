/** Constructors of jumps, calls and exit. */
import type { Instruction, Register } from "./instruction.ts";
import {
	BPF_CALL,
	BPF_EXIT,
	BPF_JA,
	BPF_JEQ,
	BPF_JGE,
	BPF_JGT,
	BPF_JLE,
	BPF_JLT,
	BPF_JMP,
	BPF_JMP32,
	BPF_JNE,
	BPF_JSET,
	BPF_JSGE,
	BPF_JSGT,
	BPF_JSLE,
	BPF_JSLT,
	BPF_K,
	BPF_PSEUDO_CALL,
	BPF_PSEUDO_KFUNC_CALL,
	BPF_X,
} from "./opcode.ts";

/** The destination of a jump: a label, or a number of slots relative to the next instruction. */
export type Target = string | number;

/** One condition in its four forms; `op` stands for its operator. */
export interface JumpCondition {
	/** `if dst op immediate goto target` on 64 bits, the immediate sign-extended from 32. */
	readonly imm: (dst: Register, immediate: number, target: Target) => Instruction;
	/** `if dst op src goto target` on 64 bits. */
	readonly reg: (dst: Register, src: Register, target: Target) => Instruction;
	/** `if (u32)dst op immediate goto target` */
	readonly imm32: (dst: Register, immediate: number, target: Target) => Instruction;
	/** `if (u32)dst op (u32)src goto target` */
	readonly reg32: (dst: Register, src: Register, target: Target) => Instruction;
}

function to(target: Target): { offset: number; target?: string } {
	return typeof target === "number" ? { offset: target } : { offset: 0, target };
}

function condition(operation: number): JumpCondition {
	const imm = (kind: number) => (dst: Register, immediate: number, target: Target) => ({
		opcode: kind | operation | BPF_K,
		dst,
		src: 0,
		immediate,
		...to(target),
	});
	const reg = (kind: number) => (dst: Register, src: Register, target: Target) => ({
		opcode: kind | operation | BPF_X,
		dst,
		src,
		immediate: 0,
		...to(target),
	});
	return { imm: imm(BPF_JMP), reg: reg(BPF_JMP), imm32: imm(BPF_JMP32), reg32: reg(BPF_JMP32) };
}

/** `if dst == src goto target` */
export const jeq = condition(BPF_JEQ);
/** `if dst != src goto target` */
export const jne = condition(BPF_JNE);
/** `if dst > src goto target`, unsigned */
export const jgt = condition(BPF_JGT);
/** `if dst >= src goto target`, unsigned */
export const jge = condition(BPF_JGE);
/** `if dst < src goto target`, unsigned */
export const jlt = condition(BPF_JLT);
/** `if dst <= src goto target`, unsigned */
export const jle = condition(BPF_JLE);
/** `if dst s> src goto target`, signed */
export const jsgt = condition(BPF_JSGT);
/** `if dst s>= src goto target`, signed */
export const jsge = condition(BPF_JSGE);
/** `if dst s< src goto target`, signed */
export const jslt = condition(BPF_JSLT);
/** `if dst s<= src goto target`, signed */
export const jsle = condition(BPF_JSLE);
/** `if dst & src goto target` */
export const jset = condition(BPF_JSET);

/** `goto target` */
export function ja(target: Target): Instruction {
	return { opcode: BPF_JMP | BPF_JA, dst: 0, src: 0, immediate: 0, ...to(target) };
}

/** `goto target` with a 32-bit distance (Linux 6.6) */
export function ja32(target: Target): Instruction {
	const opcode = BPF_JMP32 | BPF_JA;
	if (typeof target === "number") return { opcode, dst: 0, src: 0, offset: 0, immediate: target };
	return { opcode, dst: 0, src: 0, offset: 0, immediate: 0, target };
}

/** `r0 = helper(r1, r2, r3, r4, r5)`; r1-r5 are lost */
export function call(helper: number): Instruction {
	return { opcode: BPF_JMP | BPF_CALL, dst: 0, src: 0, offset: 0, immediate: helper };
}

/** `r0 = subprogram(r1, r2, r3, r4, r5)`; r1-r5 are lost */
export function callSubprogram(target: string): Instruction {
	return { opcode: BPF_JMP | BPF_CALL, dst: 0, src: BPF_PSEUDO_CALL, offset: 0, immediate: 0, target };
}

/** `r0 = kernel function(r1, r2, r3, r4, r5)`, by its BTF id (Linux 5.13); r1-r5 are lost */
export function callKernelFunction(id: number): Instruction {
	return { opcode: BPF_JMP | BPF_CALL, dst: 0, src: BPF_PSEUDO_KFUNC_CALL, offset: 0, immediate: id };
}

/** `return r0` */
export function exit(): Instruction {
	return { opcode: BPF_JMP | BPF_EXIT, dst: 0, src: 0, offset: 0, immediate: 0 };
}
