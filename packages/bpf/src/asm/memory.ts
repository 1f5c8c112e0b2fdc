/** Constructors of loads, stores, atomics and 64-bit immediates. */
import type { Instruction, Register } from "./instruction.ts";
import {
	BPF_ADD,
	BPF_AND,
	BPF_ATOMIC,
	BPF_B,
	BPF_CMPXCHG,
	BPF_DW,
	BPF_FETCH,
	BPF_H,
	BPF_LD_IMM64,
	BPF_LDX,
	BPF_MEM,
	BPF_MEMSX,
	BPF_OR,
	BPF_PSEUDO_MAP_FD,
	BPF_PSEUDO_MAP_VALUE,
	BPF_ST,
	BPF_STX,
	BPF_W,
	BPF_XCHG,
	BPF_XOR,
} from "./opcode.ts";

/** Width of a memory access in bytes. */
export type AccessBytes = 1 | 2 | 4 | 8;

const SIZE_BITS: Readonly<Record<AccessBytes, number>> = { 1: BPF_B, 2: BPF_H, 4: BPF_W, 8: BPF_DW };

/** `dst = *(uN *)(src + offset)`, zero-extended */
export function load(bytes: AccessBytes, dst: Register, src: Register, offset: number): Instruction {
	return { opcode: BPF_LDX | BPF_MEM | SIZE_BITS[bytes], dst, src, offset, immediate: 0 };
}

/** `dst = *(sN *)(src + offset)`, sign-extended (Linux 6.6) */
export function loadSigned(bytes: 1 | 2 | 4, dst: Register, src: Register, offset: number): Instruction {
	return { opcode: BPF_LDX | BPF_MEMSX | SIZE_BITS[bytes], dst, src, offset, immediate: 0 };
}

/** `*(uN *)(dst + offset) = src` */
export function store(bytes: AccessBytes, dst: Register, offset: number, src: Register): Instruction {
	return { opcode: BPF_STX | BPF_MEM | SIZE_BITS[bytes], dst, src, offset, immediate: 0 };
}

/** `*(uN *)(dst + offset) = immediate`, sign-extended from 32 bits if 8 bytes are written */
export function storeImm(bytes: AccessBytes, dst: Register, offset: number, immediate: number): Instruction {
	return { opcode: BPF_ST | BPF_MEM | SIZE_BITS[bytes], dst, src: 0, offset, immediate };
}

function atomic(operation: number) {
	return (bytes: 4 | 8, dst: Register, offset: number, src: Register): Instruction => ({
		opcode: BPF_STX | BPF_ATOMIC | SIZE_BITS[bytes],
		dst,
		src,
		offset,
		immediate: operation,
	});
}

/** `lock *(uN *)(dst + offset) += src` */
export const atomicAdd = atomic(BPF_ADD);
/** `lock *(uN *)(dst + offset) |= src` (Linux 5.12, as all the following) */
export const atomicOr = atomic(BPF_OR);
/** `lock *(uN *)(dst + offset) &= src` */
export const atomicAnd = atomic(BPF_AND);
/** `lock *(uN *)(dst + offset) ^= src` */
export const atomicXor = atomic(BPF_XOR);
/** `src = atomic_fetch_add((uN *)(dst + offset), src)` */
export const atomicFetchAdd = atomic(BPF_ADD | BPF_FETCH);
/** `src = atomic_fetch_or((uN *)(dst + offset), src)` */
export const atomicFetchOr = atomic(BPF_OR | BPF_FETCH);
/** `src = atomic_fetch_and((uN *)(dst + offset), src)` */
export const atomicFetchAnd = atomic(BPF_AND | BPF_FETCH);
/** `src = atomic_fetch_xor((uN *)(dst + offset), src)` */
export const atomicFetchXor = atomic(BPF_XOR | BPF_FETCH);
/** `src = xchg((uN *)(dst + offset), src)` */
export const atomicExchange = atomic(BPF_XCHG);
/** `r0 = cmpxchg((uN *)(dst + offset), r0, src)` */
export const atomicCompareExchange = atomic(BPF_CMPXCHG);

/** `dst = immediate ll`: any 64 bits, signed or unsigned, in two slots */
export function loadImm64(dst: Register, immediate: bigint): Instruction {
	return { opcode: BPF_LD_IMM64, dst, src: 0, offset: 0, immediate: BigInt.asUintN(64, immediate) };
}

/** `dst = map[name]`: the map, as helpers take it */
export function loadMap(dst: Register, name: string): Instruction {
	return { opcode: BPF_LD_IMM64, dst, src: BPF_PSEUDO_MAP_FD, offset: 0, immediate: 0n, map: { name } };
}

/** `dst = map[name] + valueOffset`: the address of that byte in the values of an array map */
export function loadMapValue(dst: Register, name: string, valueOffset: number): Instruction {
	return {
		opcode: BPF_LD_IMM64,
		dst,
		src: BPF_PSEUDO_MAP_VALUE,
		offset: 0,
		immediate: 0n,
		map: { name, valueOffset },
	};
}
