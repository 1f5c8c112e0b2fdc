/**
 * bpf(2): its commands and the part of `union bpf_attr` that each uses (include/uapi/linux/bpf.h, as of Linux
 * 6.18). An older kernel accepts the longer structure if the fields that it does not know are 0.
 */
import { addressOf, type Decoded, type Encodable, type Fields, Layout, syscall } from "@l3dsr/linux";
import { BpfError } from "./error.ts";

/** The system call's number on the architectures that Node and koffi support. */
const SYS_BPF: { readonly [arch: string]: number } = {
	x64: 321,
	ia32: 357,
	arm: 386,
	arm64: 280,
	riscv64: 280,
	loong64: 280,
	ppc64: 361,
};

function callNumber(): number {
	const number = SYS_BPF[process.arch];
	if (number !== undefined) return number;
	throw new BpfError("FEATURE", `call bpf(2): its number is not known for ${process.arch} processors`);
}

const MAP_ELEMENT = { map_fd: "u32", key: "pointer", value: "pointer", flags: "u64" } as const;

const MAP_BATCH = {
	in_batch: "pointer",
	out_batch: "pointer",
	keys: "pointer",
	values: "pointer",
	count: "u32",
	map_fd: "u32",
	elem_flags: "u64",
	flags: "u64",
} as const;

const BY_ID = { id: "u32", next_id: "u32", open_flags: "u32" } as const;

const PROGRAM_ATTACH = {
	target_ifindex: "u32",
	attach_bpf_fd: "u32",
	attach_type: "u32",
	attach_flags: "u32",
	replace_bpf_fd: "u32",
	relative_fd_or_id: "u32",
	expected_revision: "u64",
} as const;

function command<const F extends Fields>(
	number: number,
	fields: F,
): { readonly number: number; readonly attributes: Layout<F> } {
	return { number, attributes: new Layout(fields) };
}

/**
 * enum bpf_cmd with the attributes of each command. Fields that the kernel writes are read from the reply.
 */
const COMMANDS = {
	BPF_MAP_CREATE: command(0, {
		map_type: "u32",
		key_size: "u32",
		value_size: "u32",
		max_entries: "u32",
		map_flags: "u32",
		inner_map_fd: "u32",
		numa_node: "u32",
		map_name: { text: 16 },
		map_ifindex: "u32",
		btf_fd: "u32",
		btf_key_type_id: "u32",
		btf_value_type_id: "u32",
		btf_vmlinux_value_type_id: "u32",
		map_extra: "u64",
	}),
	BPF_MAP_LOOKUP_ELEM: command(1, MAP_ELEMENT),
	BPF_MAP_UPDATE_ELEM: command(2, MAP_ELEMENT),
	BPF_MAP_DELETE_ELEM: command(3, MAP_ELEMENT),
	/** `value` receives the next key. */
	BPF_MAP_GET_NEXT_KEY: command(4, MAP_ELEMENT),
	BPF_PROG_LOAD: command(5, {
		prog_type: "u32",
		insn_cnt: "u32",
		insns: "pointer",
		license: "pointer",
		log_level: "u32",
		log_size: "u32",
		log_buf: "pointer",
		kern_version: "u32",
		prog_flags: "u32",
		prog_name: { text: 16 },
		prog_ifindex: "u32",
		expected_attach_type: "u32",
		prog_btf_fd: "u32",
		func_info_rec_size: "u32",
		func_info: "pointer",
		func_info_cnt: "u32",
		line_info_rec_size: "u32",
		line_info: "pointer",
		line_info_cnt: "u32",
		attach_btf_id: "u32",
		attach_prog_fd: "u32",
		core_relo_cnt: "u32",
		fd_array: "pointer",
		core_relos: "pointer",
		core_relo_rec_size: "u32",
		/** Written by the kernel: the size of the whole log in bytes (Linux 6.4). */
		log_true_size: "u32",
	}),
	BPF_PROG_ATTACH: command(8, PROGRAM_ATTACH),
	BPF_PROG_DETACH: command(9, PROGRAM_ATTACH),
	BPF_PROG_TEST_RUN: command(10, {
		prog_fd: "u32",
		retval: "u32",
		data_size_in: "u32",
		data_size_out: "u32",
		data_in: "pointer",
		data_out: "pointer",
		repeat: "u32",
		duration: "u32",
		ctx_size_in: "u32",
		ctx_size_out: "u32",
		ctx_in: "pointer",
		ctx_out: "pointer",
		flags: "u32",
		cpu: "u32",
		batch_size: "u32",
	}),
	BPF_PROG_GET_FD_BY_ID: command(13, BY_ID),
	BPF_MAP_GET_FD_BY_ID: command(14, BY_ID),
	BPF_OBJ_GET_INFO_BY_FD: command(15, { bpf_fd: "u32", info_len: "u32", info: "pointer" }),
	BPF_PROG_QUERY: command(16, {
		target_ifindex: "u32",
		attach_type: "u32",
		query_flags: "u32",
		attach_flags: "u32",
		prog_ids: "pointer",
		count: "u32",
		_reserved: "u32",
		prog_attach_flags: "pointer",
		link_ids: "pointer",
		link_attach_flags: "pointer",
		revision: "u64",
	}),
	/** `name` 0: a TRACING program, whose own attributes say where it attaches. */
	BPF_RAW_TRACEPOINT_OPEN: command(17, { name: "pointer", prog_fd: "u32" }),
	BPF_BTF_LOAD: command(18, {
		btf: "pointer",
		btf_log_buf: "pointer",
		btf_size: "u32",
		btf_log_size: "u32",
		btf_log_level: "u32",
	}),
	BPF_MAP_FREEZE: command(22, { map_fd: "u32" }),
	BPF_MAP_LOOKUP_BATCH: command(24, MAP_BATCH),
	BPF_MAP_UPDATE_BATCH: command(26, MAP_BATCH),
	BPF_MAP_DELETE_BATCH: command(27, MAP_BATCH),
	/** link_create of `union bpf_attr`, in the form for tcx. */
	BPF_LINK_CREATE: command(28, {
		prog_fd: "u32",
		target_ifindex: "u32",
		attach_type: "u32",
		flags: "u32",
		relative_fd_or_id: "u32",
		expected_revision: "u64",
	}),
	BPF_PROG_BIND_MAP: command(35, { prog_fd: "u32", map_fd: "u32", flags: "u32" }),
} as const;

type Commands = typeof COMMANDS;
export type BpfCommand = keyof Commands;
type FieldsOf<C extends BpfCommand> = Commands[C]["attributes"] extends Layout<infer F> ? F : never;

export interface BpfReply<C extends BpfCommand> {
	/** The return value of the call (a descriptor, or 0), or `-errno`. */
	readonly result: number;
	/** The attributes after the call. */
	attributes(): Decoded<FieldsOf<C>>;
}

/** Keeps the memory that attributes point to alive during the call, whatever the optimiser does. */
const inFlight = new Set<object>();

/** One bpf(2) call. The kernel reads and writes the memory behind pointers in place. */
export function bpf<C extends BpfCommand>(name: C, values: Encodable<FieldsOf<C>>): BpfReply<C> {
	const { number, attributes } = COMMANDS[name] as {
		number: number;
		attributes: Layout<FieldsOf<C>>; // COMMANDS[name] for this very C
	};
	const bytes = attributes.encode(values);
	inFlight.add(values);
	const result = syscall(callNumber(), number, bytes, bytes.byteLength);
	inFlight.delete(values);
	return { result, attributes: () => attributes.decode(bytes) };
}

/** A call that is repeated with the same attributes, which are encoded once. */
export class RepeatedCall<C extends BpfCommand> {
	/** The attributes after the call. */
	readonly bytes: Uint8Array;
	/** Asking for an address leaves a handle behind, which a finalizer has to free: ask once. */
	readonly #address: bigint;
	readonly #number: number;
	readonly #callNumber = callNumber();
	readonly #first: Uint8Array;
	/** The attributes, and the memory that they point to. */
	readonly #memory: readonly object[];

	constructor(name: C, values: Encodable<FieldsOf<C>>) {
		const { number, attributes } = COMMANDS[name] as {
			number: number;
			attributes: Layout<FieldsOf<C>>; // COMMANDS[name] for this very C
		};
		this.#number = number;
		this.#first = attributes.encode(values);
		this.bytes = this.#first.slice();
		this.#address = addressOf(this.bytes);
		this.#memory = [this.bytes, values];
	}

	/** Returns the result as {@link bpf} does. */
	run(): number {
		this.bytes.set(this.#first);
		inFlight.add(this.#memory);
		const result = syscall(this.#callNumber, this.#number, this.#address, this.bytes.byteLength);
		inFlight.delete(this.#memory);
		return result;
	}
}

/** struct bpf_prog_info, up to the last field that is used. */
export const BPF_PROG_INFO = new Layout({
	type: "u32",
	id: "u32",
	tag: { bytes: 8 },
	jited_prog_len: "u32",
	xlated_prog_len: "u32",
	jited_prog_insns: "pointer",
	xlated_prog_insns: "pointer",
	load_time: "u64",
	created_by_uid: "u32",
	nr_map_ids: "u32",
	map_ids: "pointer",
	name: { text: 16 },
	ifindex: "u32",
	gpl_compatible: "u32",
	netns_dev: "u64",
	netns_ino: "u64",
	nr_jited_ksyms: "u32",
	nr_jited_func_lens: "u32",
	jited_ksyms: "pointer",
	jited_func_lens: "pointer",
	btf_id: "u32",
	func_info_rec_size: "u32",
	func_info: "pointer",
	nr_func_info: "u32",
	nr_line_info: "u32",
	line_info: "pointer",
	jited_line_info: "pointer",
	nr_jited_line_info: "u32",
	line_info_rec_size: "u32",
	jited_line_info_rec_size: "u32",
	nr_prog_tags: "u32",
	prog_tags: "pointer",
	run_time_ns: "u64",
	run_cnt: "u64",
	recursion_misses: "u64",
	verified_insns: "u32",
	attach_btf_obj_id: "u32",
	attach_btf_id: "u32",
});

/** struct bpf_map_info. */
export const BPF_MAP_INFO = new Layout({
	type: "u32",
	id: "u32",
	key_size: "u32",
	value_size: "u32",
	max_entries: "u32",
	map_flags: "u32",
	name: { text: 16 },
	ifindex: "u32",
	btf_vmlinux_value_type_id: "u32",
	netns_dev: "u64",
	netns_ino: "u64",
	btf_id: "u32",
	btf_key_type_id: "u32",
	btf_value_type_id: "u32",
	btf_vmlinux_id: "u32",
	map_extra: "u64",
});
