/** Formats one instruction in the notation that the kernel's verifier log and llvm-objdump share. */
import { distanceIsImmediate } from "./encode.ts";
import { helperName } from "./helper-function.ts";
import type { Instruction } from "./instruction.ts";
import * as op from "./opcode.ts";

const ALU_OPERATORS: Readonly<Record<number, string>> = {
	[op.BPF_ADD]: "+=",
	[op.BPF_SUB]: "-=",
	[op.BPF_MUL]: "*=",
	[op.BPF_DIV]: "/=",
	[op.BPF_OR]: "|=",
	[op.BPF_AND]: "&=",
	[op.BPF_LSH]: "<<=",
	[op.BPF_RSH]: ">>=",
	[op.BPF_MOD]: "%=",
	[op.BPF_XOR]: "^=",
	[op.BPF_MOV]: "=",
	[op.BPF_ARSH]: "s>>=",
};

const JUMP_OPERATORS: Readonly<Record<number, string>> = {
	[op.BPF_JEQ]: "==",
	[op.BPF_JGT]: ">",
	[op.BPF_JGE]: ">=",
	[op.BPF_JSET]: "&",
	[op.BPF_JNE]: "!=",
	[op.BPF_JSGT]: "s>",
	[op.BPF_JSGE]: "s>=",
	[op.BPF_JLT]: "<",
	[op.BPF_JLE]: "<=",
	[op.BPF_JSLT]: "s<",
	[op.BPF_JSLE]: "s<=",
};

const ATOMIC_OPERATORS: Readonly<Record<number, readonly [operator: string, name: string]>> = {
	[op.BPF_ADD]: ["+=", "add"],
	[op.BPF_OR]: ["|=", "or"],
	[op.BPF_AND]: ["&=", "and"],
	[op.BPF_XOR]: ["^=", "xor"],
};

const SIZE_BITS: Readonly<Record<number, number>> = {
	[op.BPF_B]: 8,
	[op.BPF_H]: 16,
	[op.BPF_W]: 32,
	[op.BPF_DW]: 64,
};

/** `r0 = *(u32 *)(r1 + 76)`. Labels, maps and helpers appear by name if the name is known. */
export function formatInstruction(instruction: Instruction): string {
	return format(instruction) ?? `(unknown instruction, opcode 0x${hex(instruction.opcode)})`;
}

function format(instruction: Instruction): string | undefined {
	switch (instruction.opcode & op.BPF_CLASS_MASK) {
		case op.BPF_ALU:
		case op.BPF_ALU64:
			return formatAlu(instruction);
		case op.BPF_JMP:
		case op.BPF_JMP32:
			return formatJump(instruction);
		case op.BPF_LD:
			return formatLoadImmediate(instruction);
		default:
			return formatMemory(instruction);
	}
}

function formatAlu({ opcode, dst, src, offset, immediate }: Instruction): string | undefined {
	const wide = (opcode & op.BPF_CLASS_MASK) === op.BPF_ALU64;
	const operation = opcode & op.BPF_OP_MASK;
	const isRegister = (opcode & op.BPF_X) !== 0;
	const name = wide ? "r" : "w";
	if (operation === op.BPF_END) {
		const order = wide ? "bswap" : isRegister ? "be" : "le";
		return `r${dst} = ${order}${immediate} r${dst}`;
	}
	if (operation === op.BPF_NEG) return `${name}${dst} = -${name}${dst}`;
	const operator = ALU_OPERATORS[operation];
	if (operator === undefined) return undefined;
	const operand = isRegister ? `${name}${src}` : hexImmediate(immediate);
	if (offset === 0) return `${name}${dst} ${operator} ${operand}`;
	if (operation === op.BPF_MOV) return `${name}${dst} = (s${offset})${operand}`;
	return `${name}${dst} s${operator} ${operand}`;
}

function formatJump(instruction: Instruction): string | undefined {
	const { opcode, dst, src, offset, immediate, target } = instruction;
	const operation = opcode & op.BPF_OP_MASK;
	const wide = (opcode & op.BPF_CLASS_MASK) === op.BPF_JMP;
	const distance = distanceIsImmediate(opcode) ? Number(immediate) : offset;
	const goal = target ?? signed(distance);
	if (operation === op.BPF_JA) return `${wide ? "goto" : "gotol"} ${goal}`;
	if (operation === op.BPF_CALL && wide) {
		if (src === op.BPF_PSEUDO_KFUNC_CALL) return `call kernel function ${immediate}`;
		if (src === op.BPF_PSEUDO_CALL) return `call pc${target === undefined ? goal : ` ${goal}`}`;
		if (src !== 0) return undefined;
		const helper = helperName(Number(immediate));
		return helper === undefined ? `call ${immediate}` : `call ${helper}#${immediate}`;
	}
	if (operation === op.BPF_EXIT && wide) return "exit";
	const operator = JUMP_OPERATORS[operation];
	if (operator === undefined) return undefined;
	const name = wide ? "r" : "w";
	const operand = (opcode & op.BPF_X) === 0 ? hexImmediate(immediate) : `${name}${src}`;
	return `if ${name}${dst} ${operator} ${operand} goto ${goal}`;
}

function formatLoadImmediate({ opcode, dst, src, immediate, map }: Instruction): string | undefined {
	if (opcode !== op.BPF_LD_IMM64) return undefined;
	if (map !== undefined) {
		const value = map.valueOffset === undefined ? "" : ` value + ${map.valueOffset}`;
		return `r${dst} = map ${map.name}${value}`;
	}
	return src === 0
		? `r${dst} = ${hexImmediate(immediate)} ll`
		: `r${dst} = ${hexImmediate(immediate)} ll (${src})`;
}

function formatMemory({ opcode, dst, src, offset, immediate }: Instruction): string | undefined {
	const kind = opcode & op.BPF_CLASS_MASK;
	const mode = opcode & op.BPF_MODE_MASK;
	const bits = SIZE_BITS[opcode & op.BPF_SIZE_MASK] ?? 0;
	const at = (base: number) => `r${base} ${offset < 0 ? "-" : "+"} ${Math.abs(offset)}`;
	if (kind === op.BPF_LDX && mode === op.BPF_MEM) return `r${dst} = *(u${bits} *)(${at(src)})`;
	if (kind === op.BPF_LDX && mode === op.BPF_MEMSX) return `r${dst} = *(s${bits} *)(${at(src)})`;
	if (kind === op.BPF_ST && mode === op.BPF_MEM)
		return `*(u${bits} *)(${at(dst)}) = ${hexImmediate(immediate)}`;
	if (kind === op.BPF_STX && mode === op.BPF_MEM) return `*(u${bits} *)(${at(dst)}) = r${src}`;
	if (kind !== op.BPF_STX || mode !== op.BPF_ATOMIC || bits < 32) return undefined;
	const operation = Number(immediate);
	if (operation === op.BPF_XCHG) return `r${src} = xchg_${bits}(${at(dst)}, r${src})`;
	if (operation === op.BPF_CMPXCHG) return `r0 = cmpxchg_${bits}(${at(dst)}, r0, r${src})`;
	const names = ATOMIC_OPERATORS[operation & ~op.BPF_FETCH];
	if (names === undefined) return undefined;
	if ((operation & op.BPF_FETCH) === 0) return `lock *(u${bits} *)(${at(dst)}) ${names[0]} r${src}`;
	return `r${src} = atomic_fetch_${names[1]}((u${bits} *)(${at(dst)}), r${src})`;
}

function signed(distance: number): string {
	return distance < 0 ? `${distance}` : `+${distance}`;
}

/** Small numbers are counts and read best in decimal; large ones are addresses, masks or types. */
function hexImmediate(value: number | bigint): string {
	if (value >= -0x8000 && value <= 255) return `${value}`;
	const bits = typeof value === "bigint" ? BigInt.asUintN(64, value) : value >>> 0;
	return `0x${bits.toString(16)}`;
}

function hex(byte: number): string {
	return byte.toString(16).padStart(2, "0");
}
