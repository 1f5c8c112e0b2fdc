/** Limits on the size of a program. */
import { asm, type ProgramSpec } from "@l3dsr/bpf";
import type { Match, Rule } from "../../../model/rule.ts";
import { bodiesIn, type DispatchGroup, planDispatch } from "./dispatch.ts";
import type { CompileTarget } from "./target.ts";

/**
 * Jumps reach 32767 slots, and code that the verifier adds (inlined map lookups, mostly for counters) counts too. A
 * program may have this many slots, minus ten for each rule.
 */
const MOST_SLOTS = 28_000;
const SLOTS_ADDED_PER_RULE = 10;

/** The verifier tracks 8192 branches of one path (BPF_COMPLEXITY_LIMIT_JMP_SEQ). */
const MOST_JUMPS = 8000;

/** The least slots of a rule's body, which counts and writes an address and more. */
const LEAST_SLOTS_OF_BODY = 18;

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
	const groups = dispatches.flatMap((dispatch) => dispatch.groups);
	if (bodiesIn(groups) <= BODIES_THAT_FIT) return undefined;
	// Compiling a thousand rules takes a second, so try a lower bound first.
	const least = leastSlots(groups);
	if (least + SLOTS_ADDED_PER_RULE * rules.length > MOST_SLOTS) {
		return `its interface's ${rules.length} rules compile to a program of at least ${least} instructions, which is too large`;
	}
	const { compileProgram } = await import("./compile.ts");
	return tooLarge(compileProgram({ rules: slotted, local: [] }, target, rules.length), rules.length);
}

/** A lower bound for the slots that these groups compile to. */
export function leastSlots(groups: readonly DispatchGroup[]): number {
	const bodies = groups.flatMap((group) => group.rules.map(({ rule }) => rule.rule));
	return bodies.reduce((sum, { matches }) => sum + LEAST_SLOTS_OF_BODY + matches.filter(isCode).length, 0);
}

/** True if the match takes at least one slot. The dispatch handles most DSCP matches. */
function isCode({ kind }: Match): boolean {
	return kind !== "dscp" && kind !== "comment";
}

/** Why the kernel would refuse a program of this size. */
export function tooLarge({ instructions }: ProgramSpec, rules: number): string | undefined {
	const slots = instructions.reduce((sum, one) => sum + asm.slotsOf(one), 0);
	const jumps = instructions.filter(({ target }) => target !== undefined).length;
	if (slots + SLOTS_ADDED_PER_RULE * rules <= MOST_SLOTS && jumps <= MOST_JUMPS) return undefined;
	return `its interface's ${rules} rules compile to a program of ${slots} instructions with ${jumps} jumps, which is too large`;
}
