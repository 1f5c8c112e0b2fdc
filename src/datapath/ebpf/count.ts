/** Counting: one lookup in a per-CPU map, which the JIT inlines, and two additions. */
import { add, jeq, load, loadMap, mov, store, storeImm } from "../../bpf/asm/index.ts";
import type { Code } from "./code.ts";
import { FP, MAP, STACK } from "./frame.ts";
import { helper } from "./hook.ts";

/** Where the slot comes from: known now, or in r4. */
export type SlotSource = number | "r4";

/** Adds one packet of STACK.length bytes to the slot. Needs no register that a helper call loses. */
export function emitCount(code: Code, comment: string, slot: SlotSource): void {
	const counted = code.fresh("counted");
	code.step(
		comment,
		slot === "r4" ? store(4, FP, STACK.key, 4) : storeImm(4, FP, STACK.key, slot),
		loadMap(1, MAP.counters),
		mov.reg(2, FP),
		add.imm(2, STACK.key),
		helper("bpf_map_lookup_elem"),
		jeq.imm(0, 0, counted),
		load(8, 2, 0, 0),
		add.imm(2, 1),
		store(8, 0, 0, 2),
		load(4, 3, FP, STACK.length),
		load(8, 2, 0, 8),
		add.reg(2, 3),
		store(8, 0, 8, 2),
	);
	code.label(counted);
}
