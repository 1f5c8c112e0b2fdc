/** Programs that the verifier refuses, each for a different reason. */
import {
	add,
	call,
	exit,
	HELPER_FUNCTIONS,
	type Instruction,
	ja,
	jlt,
	jne,
	load,
	loadMap,
	lsh,
	mov,
	store,
	storeImm,
} from "../src/asm/index.ts";
import type { MapSpec, ProgramSpec } from "../src/spec.ts";

const HASH: MapSpec = { name: "t_hash", type: "BPF_MAP_TYPE_HASH", keySize: 4, valueSize: 8, maxEntries: 1 };

function tc(instructions: readonly Instruction[], more: Partial<ProgramSpec> = {}): ProgramSpec {
	return {
		name: "t_broken",
		type: "BPF_PROG_TYPE_SCHED_CLS",
		license: "GPL",
		maps: [],
		instructions,
		...more,
	};
}

const LOOKUP: readonly Instruction[] = [
	{ ...storeImm(4, 10, -4, 0), comment: "look up the counter" },
	loadMap(1, HASH.name),
	mov.reg(2, 10),
	add.imm(2, -4),
	call(HELPER_FUNCTIONS.bpf_map_lookup_elem.id),
];

export const BROKEN_PROGRAMS = {
	"packet-bounds": tc([
		{ ...load(4, 2, 1, 76), comment: "find the packet" },
		{ ...load(4, 0, 2, 30), comment: "load destination address" },
		exit(),
	]),
	"uninitialised-register": tc([{ ...mov.reg(3, 1), comment: "keep the context" }, exit()]),
	"unreachable-instruction": tc([mov.imm(0, 0), exit(), { ...mov.imm(0, 1), comment: "never" }, exit()]),
	"infinite-loop": tc([
		{ ...mov.imm(0, 0), comment: "begin" },
		load(4, 3, 1, 8),
		{ ...jne.imm(3, 5, "again"), symbol: "again", comment: "walk extension headers" },
		exit(),
	]),
	"long-log": tc([
		{ ...mov.imm(0, 0), comment: "begin" },
		{ ...add.imm(0, 1), symbol: "again", comment: "count to ten thousand" },
		jlt.imm(0, 10_000, "again"),
		{ ...mov.reg(0, 5), comment: "give the verdict" },
		exit(),
	]),
	"jump-out-of-range": tc([mov.imm(0, 0), { ...ja(7), comment: "leave" }, exit()]),
	"map-value-unchecked": tc([...LOOKUP, { ...load(8, 0, 0, 0), comment: "read the counter" }, exit()], {
		maps: [HASH],
	}),
	"unknown-helper": tc([{ ...call(4711), comment: "ask for help" }, exit()]),
	"helper-needs-gpl": tc(
		[
			{ ...mov.reg(1, 10), comment: "trace" },
			add.imm(1, -8),
			storeImm(8, 10, -8, 0),
			mov.imm(2, 8),
			call(6),
			exit(),
		],
		{ license: "Proprietary" },
	),
	"stack-bounds": tc([{ ...storeImm(8, 10, -520, 0), comment: "save" }, mov.imm(0, 0), exit()]),
	"context-write": tc([
		{ ...mov.imm(2, 1), comment: "change the packet's length" },
		store(4, 1, 0, 2),
		mov.imm(0, 0),
		exit(),
	]),
	"no-exit": tc([{ ...mov.imm(0, 0), comment: "fall off the end" }]),
	"pointer-leak": tc([{ ...lsh.imm(1, 3), comment: "shift the context" }, mov.imm(0, 0), exit()]),
} as const satisfies Record<string, ProgramSpec>;
