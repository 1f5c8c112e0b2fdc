/**
 * The bit fields of an eBPF opcode, with the names of uapi/linux/bpf.h and bpf_common.h
 * (Documentation/bpf/standardization/instruction-set.rst).
 */

/** Bits 0-2: the class. */
export const BPF_CLASS_MASK = 0x07;
export const BPF_LD = 0x00;
export const BPF_LDX = 0x01;
export const BPF_ST = 0x02;
export const BPF_STX = 0x03;
export const BPF_ALU = 0x04;
export const BPF_JMP = 0x05;
export const BPF_JMP32 = 0x06;
export const BPF_ALU64 = 0x07;

/** Bit 3 of arithmetic and jumps: the second operand is the immediate (K) or a register (X). */
export const BPF_K = 0x00;
export const BPF_X = 0x08;

/** Bits 4-7 of arithmetic. */
export const BPF_OP_MASK = 0xf0;
export const BPF_ADD = 0x00;
export const BPF_SUB = 0x10;
export const BPF_MUL = 0x20;
export const BPF_DIV = 0x30;
export const BPF_OR = 0x40;
export const BPF_AND = 0x50;
export const BPF_LSH = 0x60;
export const BPF_RSH = 0x70;
export const BPF_NEG = 0x80;
export const BPF_MOD = 0x90;
export const BPF_XOR = 0xa0;
export const BPF_MOV = 0xb0;
export const BPF_ARSH = 0xc0;
export const BPF_END = 0xd0;

/** Bit 3 of BPF_END: class ALU converts to little or big endian, class ALU64 always swaps (Linux 6.6). */
export const BPF_TO_LE = 0x00;
export const BPF_TO_BE = 0x08;

/** Bits 4-7 of jumps. */
export const BPF_JA = 0x00;
export const BPF_JEQ = 0x10;
export const BPF_JGT = 0x20;
export const BPF_JGE = 0x30;
export const BPF_JSET = 0x40;
export const BPF_JNE = 0x50;
export const BPF_JSGT = 0x60;
export const BPF_JSGE = 0x70;
export const BPF_CALL = 0x80;
export const BPF_EXIT = 0x90;
export const BPF_JLT = 0xa0;
export const BPF_JLE = 0xb0;
export const BPF_JSLT = 0xc0;
export const BPF_JSLE = 0xd0;

/** Bits 3-4 of loads and stores: the width. */
export const BPF_SIZE_MASK = 0x18;
export const BPF_W = 0x00;
export const BPF_H = 0x08;
export const BPF_B = 0x10;
export const BPF_DW = 0x18;

/** Bits 5-7 of loads and stores: the mode. */
export const BPF_MODE_MASK = 0xe0;
export const BPF_IMM = 0x00;
export const BPF_MEM = 0x60;
export const BPF_MEMSX = 0x80;
export const BPF_ATOMIC = 0xc0;

/**
 * The operation of an atomic instruction, in its immediate; with BPF_FETCH the old value goes to src (or r0).
 */
export const BPF_FETCH = 0x01;
export const BPF_XCHG = 0xe0 | BPF_FETCH;
export const BPF_CMPXCHG = 0xf0 | BPF_FETCH;

/** The only two-slot instruction: `dst = imm64`, with class LD, mode IMM, size DW. */
export const BPF_LD_IMM64 = BPF_LD | BPF_IMM | BPF_DW;

/** Values of `src` in BPF_LD_IMM64: the meaning of its immediate. */
export const BPF_PSEUDO_MAP_FD = 1;
export const BPF_PSEUDO_MAP_VALUE = 2;

/** Values of `src` in BPF_CALL: with 0 the immediate is a helper's number, with 1 a relative subprogram. */
export const BPF_PSEUDO_CALL = 1;
/** `src` of a call to a kernel function (kfunc); the immediate is its BTF id. */
export const BPF_PSEUDO_KFUNC_CALL = 2;
