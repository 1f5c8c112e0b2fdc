/** Removes what no person would write in assembly: jumps to jumps, jumps to the next line, dead code. */
import type { Instruction } from "../asm/instruction.ts";
import {
	BPF_CLASS_MASK,
	BPF_EXIT,
	BPF_JA,
	BPF_JEQ,
	BPF_JGE,
	BPF_JGT,
	BPF_JLE,
	BPF_JLT,
	BPF_JMP,
	BPF_JMP32,
	BPF_JNE,
	BPF_JSGE,
	BPF_JSGT,
	BPF_JSLE,
	BPF_JSLT,
	BPF_OP_MASK,
} from "../asm/opcode.ts";

/** An instruction whose labels are not yet its symbol. */
export interface Line {
	readonly instruction: Instruction;
	/** The current comment, repeated on every line that it covers. */
	readonly comment: string | undefined;
	readonly labels: readonly string[];
}

const OPPOSITE: ReadonlyMap<number, number> = new Map(
	(
		[
			[BPF_JEQ, BPF_JNE],
			[BPF_JGT, BPF_JLE],
			[BPF_JGE, BPF_JLT],
			[BPF_JSGT, BPF_JSLE],
			[BPF_JSGE, BPF_JSLT],
		] as const
	).flatMap(([one, other]) => [
		[one, other],
		[other, one],
	]),
);

const GOTO = BPF_JMP | BPF_JA;
const EXIT = BPF_JMP | BPF_EXIT;

/**
 * A line during tidying: mutable, and always of the same shape, which makes it faster than an instruction.
 * Every change of a ruleset visits hundreds of lines a dozen times each.
 */
interface Draft {
	readonly line: Line;
	opcode: number;
	target: string | undefined;
	labels: readonly string[];
}

/** Converts lines to instructions with symbols and comments. */
export function tidy(lines: readonly Line[]): readonly Instruction[] {
	let drafts = lines.map((line): Draft => {
		const { opcode, target } = line.instruction;
		return { line, opcode, target, labels: line.labels };
	});
	for (;;) {
		threadJumps(drafts);
		const next = withoutDeadLines(withoutNeedlessJumps(drafts));
		if (next.length === drafts.length) return name(next);
		drafts = next;
	}
}

function labelIndex(drafts: readonly Draft[]): ReadonlyMap<string, number> {
	const indexOf = new Map<string, number>();
	for (const [index, { labels }] of drafts.entries()) {
		for (const label of labels) indexOf.set(label, index);
	}
	return indexOf;
}

/** Makes a jump to `goto X` go to X. */
function threadJumps(drafts: readonly Draft[]): void {
	const indexOf = labelIndex(drafts);
	for (const draft of drafts) {
		for (let hops = 0; draft.target !== undefined && hops < drafts.length; hops++) {
			const next = drafts[indexOf.get(draft.target) ?? -1];
			if (next?.opcode !== GOTO || next.target === undefined || next.target === draft.target) break;
			draft.target = next.target;
		}
	}
}

/** Drops `goto next`, and turns `if c goto A; goto B; A:` into `if !c goto B; A:`. */
function withoutNeedlessJumps(drafts: readonly Draft[]): readonly Draft[] {
	const kept: Draft[] = [];
	let carried: readonly string[] = [];
	for (let index = 0; index < drafts.length; index++) {
		const draft = drafts[index];
		if (draft === undefined) break;
		if (carried.length > 0) {
			draft.labels = [...carried, ...draft.labels];
			carried = [];
		}
		const { target } = draft;
		const next = drafts[index + 1];
		if (target !== undefined && next !== undefined) {
			if (draft.opcode === GOTO && next.labels.includes(target)) {
				carried = draft.labels;
				continue;
			}
			const opposite = oppositeOf(draft.opcode);
			if (
				opposite !== undefined &&
				next.opcode === GOTO &&
				next.labels.length === 0 &&
				drafts[index + 2]?.labels.includes(target) === true
			) {
				draft.opcode = opposite;
				draft.target = next.target;
				index++;
			}
		}
		kept.push(draft);
	}
	return kept;
}

/** The conditional jump with the opposite condition. */
function oppositeOf(opcode: number): number | undefined {
	const kind = opcode & BPF_CLASS_MASK;
	if (kind !== BPF_JMP && kind !== BPF_JMP32) return undefined;
	const opposite = OPPOSITE.get(opcode & BPF_OP_MASK);
	return opposite === undefined ? undefined : (opcode & ~BPF_OP_MASK) | opposite;
}

/** Drops unreachable lines, which the verifier refuses. */
function withoutDeadLines(drafts: readonly Draft[]): Draft[] {
	const indexOf = labelIndex(drafts);
	const reached = new Set<Draft>();
	const open = [0];
	for (let at = open.pop(); at !== undefined; at = open.pop()) {
		for (let draft = drafts[at]; draft !== undefined && !reached.has(draft); draft = drafts[++at]) {
			reached.add(draft);
			if (draft.target !== undefined) open.push(indexOf.get(draft.target) ?? -1);
			if (draft.opcode === GOTO || draft.opcode === EXIT) break;
		}
	}
	return drafts.filter((draft) => reached.has(draft));
}

/**
 * Gives each jump target one symbol (the outermost of its labels), and keeps each comment once, at its start.
 */
function name(drafts: readonly Draft[]): readonly Instruction[] {
	const alias = new Map<string, string>();
	for (const { labels } of drafts) {
		const last = labels.at(-1);
		if (last !== undefined) for (const label of labels) alias.set(label, last);
	}
	const targets = new Set<string>();
	for (const { target } of drafts) {
		const found = target === undefined ? undefined : alias.get(target);
		if (found !== undefined) targets.add(found);
	}
	return drafts.map(({ line: { instruction, comment }, opcode, target, labels }, index) => {
		const symbol = labels.at(-1);
		const named = target === undefined ? {} : { opcode, target: alias.get(target) ?? target };
		const isNew = comment !== undefined && comment !== drafts[index - 1]?.line.comment;
		return {
			...instruction,
			...named,
			...(symbol !== undefined && targets.has(symbol) ? { symbol } : {}),
			...(isNew ? { comment } : {}),
		};
	});
}
