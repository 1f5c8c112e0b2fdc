/** Limits on the size of a program. */
import { asm, type ProgramSpec } from "@l3dsr/bpf";
import type { Rule } from "../../../model/rule.ts";
import { bodiesIn, planDispatch } from "./dispatch.ts";
import type { CompileTarget } from "./target.ts";

/**
 * Jumps reach 32767 slots, and code that the verifier adds (inlined map lookups, mostly for counters) counts too. A
 * program may have this many slots, minus ten for each rule.
 */
const MOST_SLOTS = 28_000;
const SLOTS_ADDED_PER_RULE = 10;

/** The verifier tracks 8192 branches of one path (BPF_COMPLEXITY_LIMIT_JMP_SEQ). */
const MOST_JUMPS = 8000;

/** This many rule bodies always fit, so nothing has to be compiled to find out. */
const BODIES_THAT_FIT = 64;

/**
 * Why the rules of one interface do not fit into one program; undefined if they do. Loads the compiler only if there
 * may be too many rules.
 */
export async function programLacks(
	rules: readonly Rule[],
	target: CompileTarget,
): Promise<string | undefined> {
	const slotted = rules.map((rule, ordinal) => ({ rule, ordinal, slot: ordinal }));
	const dispatches = (["ipv4", "ipv6"] as const).map((family) =>
		planDispatch(slotted.filter(({ rule }) => rule.family === family)),
	);
	const bodies = dispatches.reduce((sum, { groups }) => sum + bodiesIn(groups), 0);
	if (bodies <= BODIES_THAT_FIT) return undefined;
	const { compileProgram } = await import("./compile.ts");
	return tooLarge(compileProgram({ rules: slotted, local: [] }, target, rules.length), rules.length);
}

/** Why the kernel would refuse a program of this size. */
export function tooLarge({ instructions }: ProgramSpec, rules: number): string | undefined {
	const slots = instructions.reduce((sum, one) => sum + asm.slotsOf(one), 0);
	const jumps = instructions.filter(({ target }) => target !== undefined).length;
	if (slots + SLOTS_ADDED_PER_RULE * rules <= MOST_SLOTS && jumps <= MOST_JUMPS) return undefined;
	return `its interface's ${rules} rules compile to a program of ${slots} instructions with ${jumps} jumps, which is too large`;
}
