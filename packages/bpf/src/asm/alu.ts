/** Constructors of arithmetic, moves and byte swaps. */
import type { Instruction, Register } from "./instruction.ts";
import {
	BPF_ADD,
	BPF_ALU,
	BPF_ALU64,
	BPF_AND,
	BPF_ARSH,
	BPF_DIV,
	BPF_END,
	BPF_K,
	BPF_LSH,
	BPF_MOD,
	BPF_MOV,
	BPF_MUL,
	BPF_NEG,
	BPF_OR,
	BPF_RSH,
	BPF_SUB,
	BPF_TO_BE,
	BPF_TO_LE,
	BPF_X,
	BPF_XOR,
} from "./opcode.ts";

/** One arithmetic operation in its four forms; `op` stands for its operator. */
export interface AluOperation {
	/** `dst op= immediate` on 64 bits, the immediate sign-extended from 32. */
	readonly imm: (dst: Register, immediate: number) => Instruction;
	/** `dst op= src` on 64 bits. */
	readonly reg: (dst: Register, src: Register) => Instruction;
	/** `(u32)dst op= immediate`; the upper half of dst becomes 0. */
	readonly imm32: (dst: Register, immediate: number) => Instruction;
	/** `(u32)dst op= (u32)src`; the upper half of dst becomes 0. */
	readonly reg32: (dst: Register, src: Register) => Instruction;
}

/**
 * The operation with these opcode bits. Offset 1 makes division signed; 8, 16 or 32 makes a move extend the
 * sign.
 */
function alu(operation: number, offset = 0): AluOperation {
	const imm = (kind: number) => (dst: Register, immediate: number) => ({
		opcode: kind | operation | BPF_K,
		dst,
		src: 0,
		offset,
		immediate,
	});
	const reg = (kind: number) => (dst: Register, src: Register) => ({
		opcode: kind | operation | BPF_X,
		dst,
		src,
		offset,
		immediate: 0,
	});
	return { imm: imm(BPF_ALU64), reg: reg(BPF_ALU64), imm32: imm(BPF_ALU), reg32: reg(BPF_ALU) };
}

/** `dst = src` */
export const mov = alu(BPF_MOV);
/** `dst += src` */
export const add = alu(BPF_ADD);
/** `dst -= src` */
export const sub = alu(BPF_SUB);
/** `dst *= src` */
export const mul = alu(BPF_MUL);
/** `dst /= src`, unsigned; division by zero gives 0 */
export const div = alu(BPF_DIV);
/** `dst %= src`, unsigned; division by zero leaves dst unchanged */
export const mod = alu(BPF_MOD);
/** `dst s/= src`, signed (Linux 6.6) */
export const sdiv = alu(BPF_DIV, 1);
/** `dst s%= src`, signed (Linux 6.6) */
export const smod = alu(BPF_MOD, 1);
/** `dst |= src` */
export const or = alu(BPF_OR);
/** `dst &= src` */
export const and = alu(BPF_AND);
/** `dst ^= src` */
export const xor = alu(BPF_XOR);
/** `dst <<= src` */
export const lsh = alu(BPF_LSH);
/** `dst >>= src`, shifts zeros in */
export const rsh = alu(BPF_RSH);
/** `dst s>>= src`, shifts the sign in */
export const arsh = alu(BPF_ARSH);

/** `dst = -dst` */
export function neg(dst: Register): Instruction {
	return { opcode: BPF_ALU64 | BPF_NEG, dst, src: 0, offset: 0, immediate: 0 };
}

/** `(u32)dst = -(u32)dst` */
export function neg32(dst: Register): Instruction {
	return { opcode: BPF_ALU | BPF_NEG, dst, src: 0, offset: 0, immediate: 0 };
}

/** `dst = (s8|s16|s32)src`, sign-extended to 64 bits (Linux 6.6) */
export function movsx(bits: 8 | 16 | 32, dst: Register, src: Register): Instruction {
	return alu(BPF_MOV, bits).reg(dst, src);
}

/** `(u32)dst = (s8|s16)src`, sign-extended to 32 bits (Linux 6.6) */
export function movsx32(bits: 8 | 16, dst: Register, src: Register): Instruction {
	return alu(BPF_MOV, bits).reg32(dst, src);
}

/** `dst = be16|be32|be64(dst)`: host to big endian or back; clears the higher bits */
export function toBigEndian(bits: 16 | 32 | 64, dst: Register): Instruction {
	return { opcode: BPF_ALU | BPF_END | BPF_TO_BE, dst, src: 0, offset: 0, immediate: bits };
}

/** `dst = le16|le32|le64(dst)`: on a little-endian host, clears the higher bits */
export function toLittleEndian(bits: 16 | 32 | 64, dst: Register): Instruction {
	return { opcode: BPF_ALU | BPF_END | BPF_TO_LE, dst, src: 0, offset: 0, immediate: bits };
}

/** `dst = bswap16|bswap32|bswap64(dst)` on any host (Linux 6.6) */
export function byteSwap(bits: 16 | 32 | 64, dst: Register): Instruction {
	return { opcode: BPF_ALU64 | BPF_END, dst, src: 0, offset: 0, immediate: bits };
}
