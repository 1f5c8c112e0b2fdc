/** Programs in the kernel: each object owns a descriptor, and those of the maps that were created with it. */

import { closeSync } from "node:fs";
import { check, ERRNO, SyscallError, withMemoryLimitRaised, withSignalsHeld } from "@l3dsr/linux";
import { withDescriptors } from "./asm/encode.ts";
import { SLOT_BYTES } from "./asm/instruction.ts";
import { BPF_ATTACH_TYPE } from "./attach/attach-type.ts";
import { BPF_PROG_INFO, type BpfReply, bpf } from "./bpf-syscall.ts";
import { type LoadedTypes, typeAttributes } from "./btf.ts";
import { encodeContextTypes, functionId } from "./context-types.ts";
import { BpfMap } from "./map.ts";
import { type MapId, mapIdOf, type ProgramId, programIdOf } from "./object-id.ts";
import {
	BPF_PROG_TYPE,
	type EncodedProgram,
	encodeProgram,
	mapsUsed,
	NAME_BYTES,
	type ProgramSpec,
} from "./spec.ts";
import { TypedMap, type TypedMapSpec } from "./typed-map.ts";
import { VerifierError } from "./verifier-log.ts";

/** log_level: logs every instruction of the failing path, with the state before it. */
const BPF_LOG_LEVEL1 = 1;
const BPF_F_XDP_HAS_FRAGS = 1 << 5;
const LOG_BYTES_FIRST = 1 << 18;
/** The kernel's limit (UINT_MAX >> 2); the log of a refused program is far shorter. */
const LOG_BYTES_MOST = 1 << 28;

export interface LoadOptions {
	/** Existing maps that are used instead of new ones, by their name in the spec. The caller keeps them. */
	readonly maps?: ReadonlyMap<string, BpfMap>;
	/** TRACING only: the program at whose exit it runs, which was loaded `traceable`. */
	readonly traces?: Program;
}

/** The fields of struct bpf_prog_info. */
export interface ProgramInfo {
	readonly id: ProgramId;
	/** BPF_PROG_TYPE_*; a number, because the kernel may have types that are not listed here. */
	readonly type: number;
	readonly name: string;
	/** Hash of the instructions, 16 hex digits. */
	readonly tag: string;
	readonly mapIds: readonly MapId[];
	/** Number of instructions that the verifier processed (Linux 5.16+, else 0). */
	readonly verifiedInsns: number;
	/** Whether the program was loaded `traceable` and the kernel supports that. */
	readonly isTraceable: boolean;
	/**
	 * Size in bytes of the program after the verifier's rewriting, and of its machine code (0 if
	 * interpreted).
	 */
	readonly translatedBytes: number;
	readonly machineCodeBytes: number;
	/** Runs and nanoseconds, counted while sysctl kernel.bpf_stats_enabled is on. */
	readonly runCount: bigint;
	readonly runTimeNs: bigint;
}

/** A loaded program. `using program = Program.load(spec)`. */
export class Program implements Disposable {
	readonly info: ProgramInfo;
	/** The maps that it was loaded with, by their name in the spec; empty for a program opened by id. */
	readonly maps: ReadonlyMap<string, BpfMap>;
	readonly #owned: readonly BpfMap[];
	#fd: number;

	private constructor(fd: number, maps: ReadonlyMap<string, BpfMap>, owned: readonly BpfMap[]) {
		this.#fd = fd;
		this.maps = maps;
		this.#owned = owned;
		this.info = readInfo(fd);
	}

	/**
	 * Creates the maps of the spec and loads the program. Maps that no instruction names are bound to it and
	 * live as long as the program (Linux 5.10+).
	 *
	 * Throws VerifierError, SyscallError or BpfError (BUILD); then nothing is left behind.
	 */
	static load(program: ProgramSpec | EncodedProgram, options: LoadOptions = {}): Program {
		const encoded = "code" in program ? program : encodeProgram(program);
		const maps = new Map<string, BpfMap>();
		const owned: BpfMap[] = [];
		let fd = -1;
		try {
			for (const mapSpec of encoded.maps) {
				const given = options.maps?.get(mapSpec.name);
				const map = given ?? BpfMap.create(mapSpec);
				if (given === undefined) owned.push(map);
				maps.set(mapSpec.name, map);
			}
			const instructions = withDescriptors(encoded.code, ({ name }) => maps.get(name)?.fd ?? -1);
			fd = loadInstructions(encoded, instructions, options.traces);
			const used = mapsUsed(encoded.code);
			for (const [name, map] of maps) {
				if (!used.has(name)) bindMap(fd, encoded.name, map);
			}
			return new Program(fd, maps, owned);
		} catch (error) {
			if (fd >= 0) closeSync(fd);
			for (const map of owned) map[Symbol.dispose]();
			throw error;
		}
	}

	/** Opens the program with that id. Throws SyscallError (ENOENT) if it is gone. */
	static open(id: ProgramId): Program {
		const fd = check(bpf("BPF_PROG_GET_FD_BY_ID", { id }).result, `open program ${id}`);
		try {
			return new Program(fd, new Map(), []);
		} catch (error) {
			closeSync(fd);
			throw error;
		}
	}

	/** Throws if the program has been disposed. */
	get fd(): number {
		if (this.#fd < 0) throw new RangeError(`program ${this.info.name} is closed`);
		return this.#fd;
	}

	get name(): string {
		return this.info.name;
	}

	/**
	 * The map with this name in the spec, as bytes; with its own spec (`mapSpec`), as keys and values. The
	 * program keeps it. Throws RangeError if there is none.
	 */
	map(name: string): BpfMap;
	map<KeyIn, Key, ValueIn, Value>(
		spec: TypedMapSpec<KeyIn, Key, ValueIn, Value>,
	): TypedMap<KeyIn, Key, ValueIn, Value>;
	map<KeyIn, Key, ValueIn, Value>(
		which: string | TypedMapSpec<KeyIn, Key, ValueIn, Value>,
	): BpfMap | TypedMap<KeyIn, Key, ValueIn, Value> {
		const name = typeof which === "string" ? which : which.name;
		const map = this.maps.get(name);
		if (map === undefined) throw new RangeError(`program ${this.name} was loaded without a map ${name}`);
		return typeof which === "string" ? map : new TypedMap(map, which);
	}

	/** Opens every map of the program, in the kernel's order; the caller disposes of them. */
	openMaps(): readonly BpfMap[] {
		const maps: BpfMap[] = [];
		try {
			for (const id of this.info.mapIds) maps.push(BpfMap.open(id));
			return maps;
		} catch (error) {
			for (const map of maps) map[Symbol.dispose]();
			throw error;
		}
	}

	/** The current description: run counts increase, and maps may have been bound since. */
	readInfo(): ProgramInfo {
		return readInfo(this.fd);
	}

	/** Closes the descriptors; an attached program continues to run. */
	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
		for (const map of this.#owned) map[Symbol.dispose]();
	}
}

/** Loads without a log, which is faster; after a refusal again with one, for the reason. */
function loadInstructions(
	spec: EncodedProgram,
	instructions: Uint8Array,
	traces: Program | undefined,
): number {
	const types = spec.traceable === true ? loadContextTypes(spec.type) : undefined;
	try {
		const load = (log: Uint8Array) => tryLoad(spec, instructions, log, { types, traces });
		return loadWithReason(spec, instructions, load);
	} finally {
		if (types !== undefined) closeSync(types.fd);
	}
}

/** Undefined if the kernel refuses them: then the program cannot be traced, but works all the same. */
function loadContextTypes(type: ProgramSpec["type"]): LoadedTypes | undefined {
	const { types, functionInfo } = encodeContextTypes(type);
	const { result } = bpf("BPF_BTF_LOAD", { btf: types, btf_size: types.length });
	return result < 0 ? undefined : { fd: result, functionInfo };
}

function loadWithReason(
	spec: EncodedProgram,
	instructions: Uint8Array,
	load: (log: Uint8Array) => BpfReply<"BPF_PROG_LOAD">,
): number {
	const { result } = load(new Uint8Array(0));
	if (result >= 0) return result;
	const { instructions: explained } = spec;
	if (result === -ERRNO.EPERM || explained === undefined) return check(result, `load program ${spec.name}`);
	let log = new Uint8Array(LOG_BYTES_FIRST);
	let again = load(log);
	// ENOSPC: the log is longer than the buffer. Only newer kernels report its length.
	while (again.result === -ERRNO.ENOSPC && log.length < LOG_BYTES_MOST) {
		const wanted = Math.max(again.attributes().log_true_size, log.length * 8);
		log = new Uint8Array(Math.min(wanted, LOG_BYTES_MOST));
		again = load(log);
	}
	// The second attempt may succeed if the first failed for a temporary shortage.
	if (again.result >= 0) return again.result;
	const text = Buffer.from(log.subarray(0, log.indexOf(0))).toString("utf8");
	if (text.trim() !== "") throw new VerifierError({ ...spec, instructions: explained }, -result, text);
	const what = `load program ${spec.name} (${spec.type}, ${instructions.length / SLOT_BYTES} instructions)`;
	throw new SyscallError(what, -result);
}

interface Beside {
	readonly types: LoadedTypes | undefined;
	readonly traces: Program | undefined;
}

function tryLoad(
	spec: EncodedProgram,
	instructions: Uint8Array,
	log: Uint8Array,
	{ types, traces }: Beside,
): BpfReply<"BPF_PROG_LOAD"> {
	const license = Buffer.from(`${spec.license}\0`, "ascii");
	const attempt = () =>
		withMemoryLimitRaised(() =>
			bpf("BPF_PROG_LOAD", {
				prog_type: BPF_PROG_TYPE[spec.type],
				insn_cnt: instructions.length / SLOT_BYTES,
				insns: instructions,
				license,
				log_level: log.length > 0 ? BPF_LOG_LEVEL1 : 0,
				log_size: log.length,
				log_buf: log.length > 0 ? log : null,
				prog_flags: spec.takesFragments === true ? BPF_F_XDP_HAS_FRAGS : 0,
				prog_name: spec.name.slice(0, NAME_BYTES),
				expected_attach_type:
					spec.expectedAttachType === undefined ? 0 : BPF_ATTACH_TYPE[spec.expectedAttachType],
				...(types === undefined ? {} : typeAttributes(types)),
				...(traces === undefined ? {} : { attach_prog_fd: traces.fd, attach_btf_id: functionId() }),
			}),
		);
	const reply = attempt();
	// The verifier gives up with EAGAIN if a signal is pending; a profiler can send signals faster than it
	// finishes.
	return reply.result === -ERRNO.EAGAIN ? withSignalsHeld(attempt) : reply;
}

function bindMap(programFd: number, programName: string, map: BpfMap): void {
	const { result } = bpf("BPF_PROG_BIND_MAP", { prog_fd: programFd, map_fd: map.fd });
	check(result, `bind map ${map.info.name} to program ${programName}`);
}

function readInfo(fd: number): ProgramInfo {
	let capacity = 16;
	for (;;) {
		const ids = new Uint32Array(capacity);
		const info = BPF_PROG_INFO.encode({ nr_map_ids: capacity, map_ids: new Uint8Array(ids.buffer) });
		const reply = bpf("BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: fd, info_len: info.length, info });
		check(reply.result, "read the description of a program");
		const decoded = BPF_PROG_INFO.decode(info);
		if (decoded.nr_map_ids > capacity) {
			capacity = decoded.nr_map_ids;
			continue;
		}
		return {
			id: programIdOf(decoded.id),
			type: decoded.type,
			name: decoded.name,
			tag: Buffer.from(decoded.tag).toString("hex"),
			mapIds: [...ids.subarray(0, decoded.nr_map_ids)].map(mapIdOf),
			verifiedInsns: decoded.verified_insns,
			isTraceable: decoded.nr_func_info > 0,
			translatedBytes: decoded.xlated_prog_len,
			machineCodeBytes: decoded.jited_prog_len,
			runCount: decoded.run_cnt,
			runTimeNs: decoded.run_time_ns,
		};
	}
}
