/** Small programs that the tests of loading, running and attaching share. */
import { add, and, atomicAdd, exit, jgt, load, loadMapValue, mov, store } from "../src/asm/index.ts";
import type { MapSpec, ProgramSpec } from "../src/spec.ts";

/** Offsets of `data` and `data_end` in the context of each type. */
const PACKET = { tc: { data: 76, end: 80 }, xdp: { data: 0, end: 4 } } as const;

const TYPES = { tc: "BPF_PROG_TYPE_SCHED_CLS", xdp: "BPF_PROG_TYPE_XDP" } as const;

/** TC_ACT_UNSPEC, which is TCX_NEXT: the next program decides. */
export const TC_NEXT = -1;
export const TC_OK = 0;
export const XDP_PASS = 2;

/** A program that returns `verdict`. */
export function verdictSpec(kind: keyof typeof TYPES, verdict: number, name = "t_verdict"): ProgramSpec {
	return {
		name,
		type: TYPES[kind],
		license: "GPL",
		instructions: [{ ...mov.imm(0, verdict), comment: "give the verdict" }, exit()],
		maps: [],
	};
}

/** Two u64: the number of runs, and the first byte of the last packet. */
export const SEEN: MapSpec = {
	name: "t_seen",
	type: "BPF_MAP_TYPE_ARRAY",
	keySize: 4,
	valueSize: 16,
	maxEntries: 1,
};

/**
 * A program that counts its runs in the map t_seen, stores the packet's first byte there, and returns
 * `verdict`.
 */
export function countingSpec(kind: keyof typeof TYPES, verdict: number, name = "t_count"): ProgramSpec {
	const { data, end } = PACKET[kind];
	return {
		name,
		type: TYPES[kind],
		license: "GPL",
		instructions: [
			{ ...loadMapValue(6, SEEN.name, 0), comment: "count" },
			mov.imm(2, 1),
			atomicAdd(8, 6, 0, 2),
			{ ...load(4, 2, 1, data), comment: "note the first byte" },
			load(4, 3, 1, end),
			mov.reg(4, 2),
			add.imm(4, 1),
			jgt.reg(4, 3, "done"),
			load(1, 5, 2, 0),
			and.imm(5, 0xff),
			store(8, 6, 8, 5),
			{ ...mov.imm(0, verdict), symbol: "done", comment: "give the verdict" },
			exit(),
		],
		maps: [SEEN],
	};
}

/** The two numbers of t_seen. */
export function seen(map: { lookup(key: Uint8Array): Uint8Array | undefined }): {
	readonly runs: number;
	readonly firstByte: number;
} {
	const value = map.lookup(new Uint8Array(4)) ?? new Uint8Array(16);
	const view = new DataView(value.buffer);
	return { runs: Number(view.getBigUint64(0, true)), firstByte: Number(view.getBigUint64(8, true)) };
}
