/** What a person writing assembly does not write: jumps to jumps, jumps to the next line, dead code. */
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

/** One instruction before the labels have become its symbol. */
export interface Line {
	readonly instruction: Instruction;
	/** The comment in force, repeated on every line that it covers. */
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

/** Lines to instructions with symbols and comments. */
export function tidy(lines: readonly Line[]): readonly Instruction[] {
	let current = lines;
	for (;;) {
		const next = withoutDeadLines(withoutNeedlessJumps(threadJumps(current)));
		if (next.length === current.length) return name(next);
		current = next;
	}
}

function labelIndex(lines: readonly Line[]): ReadonlyMap<string, number> {
	const indexOf = new Map<string, number>();
	for (let index = 0; index < lines.length; index++) {
		for (const label of lines[index]?.labels ?? []) indexOf.set(label, index);
	}
	return indexOf;
}

/** A jump to `goto X` goes to X. */
function threadJumps(lines: readonly Line[]): readonly Line[] {
	const indexOf = labelIndex(lines);
	return lines.map((line) => {
		const { target } = line.instruction;
		if (target === undefined) return line;
		let goal = target;
		for (let hops = 0; hops < lines.length; hops++) {
			const next = lines[indexOf.get(goal) ?? -1]?.instruction;
			if (next?.opcode !== GOTO || next.target === undefined || next.target === goal) break;
			goal = next.target;
		}
		return goal === target ? line : { ...line, instruction: { ...line.instruction, target: goal } };
	});
}

/** Drops `goto next`, and turns `if c goto A; goto B; A:` into `if !c goto B; A:`. */
function withoutNeedlessJumps(lines: readonly Line[]): readonly Line[] {
	const kept: Line[] = [];
	let carried: readonly string[] = [];
	for (let index = 0; index < lines.length; index++) {
		const line = lines[index];
		if (line === undefined) break;
		const { instruction } = line;
		if (instruction.target === undefined && carried.length === 0) {
			kept.push(line);
			continue;
		}
		const labels = [...carried, ...line.labels];
		carried = [];
		const next = lines[index + 1];
		if (instruction.opcode === GOTO && goesTo(instruction, next)) {
			carried = labels;
			continue;
		}
		const inverted = invert(instruction, next?.instruction.target);
		if (
			inverted !== undefined &&
			next?.instruction.opcode === GOTO &&
			next.labels.length === 0 &&
			goesTo(instruction, lines[index + 2])
		) {
			kept.push({ ...line, instruction: inverted, labels });
			index++;
			continue;
		}
		kept.push({ ...line, labels });
	}
	return kept;
}

function goesTo({ target }: Instruction, line: Line | undefined): boolean {
	return target !== undefined && line?.labels.includes(target) === true;
}

function invert(instruction: Instruction, target: string | undefined): Instruction | undefined {
	const kind = instruction.opcode & BPF_CLASS_MASK;
	const opposite = OPPOSITE.get(instruction.opcode & BPF_OP_MASK);
	if ((kind !== BPF_JMP && kind !== BPF_JMP32) || opposite === undefined || target === undefined)
		return undefined;
	return { ...instruction, opcode: (instruction.opcode & ~BPF_OP_MASK) | opposite, target };
}

/** Drops what no path reaches (the verifier refuses it). */
function withoutDeadLines(lines: readonly Line[]): readonly Line[] {
	const indexOf = labelIndex(lines);
	const reached = new Set<number>();
	const open = [0];
	for (let at = open.pop(); at !== undefined; at = open.pop()) {
		const line = lines[at];
		if (line === undefined || reached.has(at)) continue;
		reached.add(at);
		const { opcode, target } = line.instruction;
		if (target !== undefined) open.push(indexOf.get(target) ?? -1);
		if (opcode !== GOTO && opcode !== EXIT) open.push(at + 1);
	}
	return lines.filter((_, index) => reached.has(index));
}

/** One symbol for each line that is jumped to (the outermost of its labels), and each comment once, where it begins. */
function name(lines: readonly Line[]): readonly Instruction[] {
	const alias = new Map<string, string>();
	for (const { labels } of lines) {
		const last = labels.at(-1);
		if (last !== undefined) for (const label of labels) alias.set(label, last);
	}
	const targets = new Set<string>();
	for (const { instruction } of lines) {
		const target = instruction.target === undefined ? undefined : alias.get(instruction.target);
		if (target !== undefined) targets.add(target);
	}
	return lines.map(({ instruction, comment, labels }, index) => {
		const symbol = labels.at(-1);
		const { target } = instruction;
		const named = target === undefined ? {} : { target: alias.get(target) ?? target };
		const isNew = comment !== undefined && comment !== lines[index - 1]?.comment;
		return {
			...instruction,
			...named,
			...(symbol !== undefined && targets.has(symbol) ? { symbol } : {}),
			...(isNew ? { comment } : {}),
		};
	});
}
