/**
 * Asks the running kernel for its types: the ids of kernel functions that programs may call (kfuncs), and the
 * places of structure fields.
 *
 * The kernel does the lookup itself, in one SYSCALL program that is loaded and run once: functions with
 * bpf_btf_find_by_name_kind, fields with CO-RE relocations (Documentation/bpf/llvm_reloc.rst), which put
 * offsets into instructions at load time. That takes a millisecond; reading the 100,000 types of
 * /sys/kernel/btf/vmlinux takes dozens.
 */
import { closeSync } from "node:fs";
import { check, ERRNO, kernelRelease, SyscallError } from "@l3dsr/linux";
import {
	type AccessBytes,
	add,
	call,
	encodeInstructions,
	exit,
	HELPER_FUNCTIONS,
	type Instruction,
	jeq,
	mov,
	SLOT_BYTES,
	store,
	storeImm,
} from "./asm/index.ts";
import { bpf } from "./bpf-syscall.ts";
import { type LoadedTypes, typeAttributes } from "./btf.ts";
import { type CoreRelocation, encodeTypes, FIELD_PROPERTIES, LOCAL_FIELD } from "./core-relocation.ts";
import { BpfError } from "./error.ts";
import { BPF_PROG_TYPE } from "./spec.ts";

const BTF_KIND_FUNC = 12;
const BPF_F_SLEEPABLE = 1 << 4;
const LICENSE = Buffer.from("GPL\0");
/**
 * Longest name of a function or field, with its terminating zero: the space on the lookup program's stack.
 */
const NAME_BYTES = 128;
const LOG_BYTES = 1 << 16;

/** A field whose place depends on the running kernel. */
export interface KernelFieldName {
	/** Without `struct`: `sk_buff`. */
	readonly structure: string;
	/** A number or a bit field, possibly in an anonymous structure. */
	readonly field: string;
}

/** The place of a field's bits: `(*(uN *)(address + offset) >> shift) & (2^bits - 1)`. */
export interface KernelField {
	readonly offset: number;
	/** Size of a load that covers all its bits. */
	readonly bytes: AccessBytes;
	readonly shift: number;
	readonly bits: number;
	readonly isSigned: boolean;
}

export interface KernelTypeQuestion {
	/** Names of kfuncs. */
	readonly functions?: readonly string[];
	readonly fields?: readonly KernelFieldName[];
}

export interface KernelTypes {
	/**
	 * For each requested function, in order: its BTF id for calls, or undefined if the kernel itself lacks
	 * it.
	 */
	readonly functions: readonly (number | undefined)[];
	/** For each requested field, in order. */
	readonly fields: readonly (KernelField | undefined)[];
}

/** Size of an answer in the program's context, a u64. */
const ANSWER_BYTES = 8;

/**
 * Throws BpfError (FEATURE) if the kernel cannot answer: before 5.17, or without BTF. Throws SyscallError
 * without the privilege to load programs.
 */
export function lookUpKernelTypes({ functions = [], fields = [] }: KernelTypeQuestion): KernelTypes {
	for (const name of [...functions, ...fields.flatMap(({ structure, field }) => [structure, field])])
		checkName(name);
	const { instructions, relocations } = questions(functions, fields);
	const answers = new BigUint64Array(Math.max(1, functions.length + fields.length * FIELD_PROPERTIES.length));
	run(instructions, relocations, fields, new Uint8Array(answers.buffer));
	return {
		functions: functions.map((_, index) => functionId(answers[index] ?? 0n)),
		fields: fields.map((_, index) => {
			const from = functions.length + index * FIELD_PROPERTIES.length;
			return decodeField([...answers.subarray(from, from + FIELD_PROPERTIES.length)].map(Number));
		}),
	};
}

function checkName(name: string): void {
	if (/^\w+$/.test(name) && name.length < NAME_BYTES) return;
	throw new BpfError(
		"BUILD",
		`look up a kernel type: ${JSON.stringify(name)} is not a C identifier of at most ${NAME_BYTES - 1} characters`,
	);
}

/** r6 has the context, where the answers follow one another. */
function questions(
	functions: readonly string[],
	fields: readonly KernelFieldName[],
): { readonly instructions: readonly Instruction[]; readonly relocations: readonly CoreRelocation[] } {
	const instructions: Instruction[] = [mov.reg(6, 1)];
	const relocations: CoreRelocation[] = [];
	let answer = 0;
	for (const name of functions) {
		const bytes = Buffer.alloc(NAME_BYTES);
		bytes.write(name, "latin1");
		for (let at = 0; at <= name.length; at += 4)
			instructions.push(storeImm(4, 10, at - NAME_BYTES, bytes.readInt32LE(at)));
		instructions.push(
			mov.reg(1, 10),
			add.imm(1, -NAME_BYTES),
			mov.imm(2, name.length + 1),
			mov.imm(3, BTF_KIND_FUNC),
			mov.imm(4, 0),
			call(HELPER_FUNCTIONS.bpf_btf_find_by_name_kind.id),
			store(8, 6, answer, 0),
		);
		answer += ANSWER_BYTES;
	}
	fields.forEach((_, index) => {
		const past = `past field ${index}`;
		for (const { kind, local } of FIELD_PROPERTIES) {
			relocations.push({ instruction: instructions.length, field: index, kind });
			instructions.push(mov.imm(1, local));
			// If the field does not exist, the kernel makes the other relocations invalid instructions, which
			// must not be reached.
			if (kind === FIELD_PROPERTIES[0].kind) instructions.push(jeq.imm(1, 0, past));
			instructions.push(store(8, 6, answer, 1));
			answer += ANSWER_BYTES;
		}
		instructions.push({ ...mov.imm(0, 0), symbol: past });
	});
	instructions.push(mov.imm(0, 0), exit());
	return { instructions, relocations };
}

/** Loads and runs the program, which writes the answers. */
function run(
	instructions: readonly Instruction[],
	relocations: readonly CoreRelocation[],
	fields: readonly KernelFieldName[],
	answers: Uint8Array,
): void {
	const doing = "look up types of the kernel";
	const code = encodeInstructions(instructions, () => -1);
	const types = encodeTypes(fields, relocations);
	const typesFd = fields.length === 0 ? undefined : loadTypes(types.types, doing);
	try {
		const fd = loadProgram(code, typesFd === undefined ? undefined : { ...types, fd: typesFd }, doing);
		try {
			const { result } = bpf("BPF_PROG_TEST_RUN", {
				prog_fd: fd,
				ctx_in: answers,
				ctx_size_in: answers.length,
			});
			check(result, doing);
		} finally {
			closeSync(fd);
		}
	} finally {
		if (typesFd !== undefined) closeSync(typesFd);
	}
}

function loadTypes(types: Uint8Array, doing: string): number {
	const { result } = bpf("BPF_BTF_LOAD", { btf: types, btf_size: types.length });
	return check(result, doing);
}

interface RelocatedTypes extends LoadedTypes {
	readonly relocations: Uint8Array;
	readonly relocationCount: number;
}

function loadProgram(code: Uint8Array, types: RelocatedTypes | undefined, doing: string): number {
	const load = (log: Uint8Array) =>
		bpf("BPF_PROG_LOAD", {
			prog_type: BPF_PROG_TYPE.BPF_PROG_TYPE_SYSCALL,
			insn_cnt: code.length / SLOT_BYTES,
			insns: code,
			license: LICENSE,
			prog_flags: BPF_F_SLEEPABLE,
			log_level: log.length > 0 ? 1 : 0,
			log_size: log.length,
			log_buf: log.length > 0 ? log : null,
			...(types === undefined
				? {}
				: {
						...typeAttributes(types),
						core_relos: types.relocations,
						core_relo_cnt: types.relocationCount,
						core_relo_rec_size: types.relocations.length / types.relocationCount,
					}),
		}).result;
	const result = load(new Uint8Array(0));
	if (result >= 0) return result;
	if (result === -ERRNO.EPERM) return check(result, doing);
	const log = new Uint8Array(LOG_BYTES);
	const again = load(log);
	if (again >= 0) return again;
	const reason = Buffer.from(log.subarray(0, log.indexOf(0)))
		.toString("utf8")
		.trim()
		.split("\n")
		.at(-1);
	throw new BpfError(
		"FEATURE",
		`${doing}: the kernel cannot tell: this needs Linux >= 5.17 with BTF (CONFIG_DEBUG_INFO_BTF), running ${kernelRelease()}`,
		{ cause: new SyscallError(doing, -again, reason === "" ? undefined : reason) },
	);
}

/** The id is in the lower half, the descriptor of the function's module in the upper; or it is `-errno`. */
function functionId(answer: bigint): number | undefined {
	if (BigInt.asIntN(64, answer) <= 0n) return undefined;
	const module = Number(answer >> 32n);
	if (module === 0) return Number(answer);
	closeSync(module);
	return undefined;
}

function decodeField([exists, offset = 0, bytes = 0, up = 0, down = 0, isSigned]: readonly number[]):
	| KernelField
	| undefined {
	if (exists !== 1 || (bytes !== 1 && bytes !== 2 && bytes !== 4 && bytes !== 8)) return undefined;
	return { offset, bytes, shift: down - up, bits: LOCAL_FIELD.registerBits - down, isSigned: isSigned === 1 };
}
