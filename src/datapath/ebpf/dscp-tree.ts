/** DSCP → label, by halving: at most six comparisons, whatever the number of labels. */
import { ja, jge } from "../../bpf/asm/index.ts";
import type { Code } from "./code.ts";

/** DSCPs from `first` up to the next run's go to `label`. */
interface Run {
	readonly first: number;
	readonly label: string;
}

/** r3 holds one of the DSCPs in `labels`; goes to its label. */
export function emitDscpTree(code: Code, labels: ReadonlyMap<number, string>): void {
	const runs: Run[] = [];
	for (const [dscp, label] of [...labels].sort(([a], [b]) => a - b)) {
		if (runs.at(-1)?.label !== label) runs.push({ first: dscp, label });
	}
	emitRuns(code, runs);
}

function emitRuns(code: Code, runs: readonly Run[]): void {
	const [only] = runs;
	if (only === undefined) return;
	if (runs.length === 1) {
		code.step("these", ja(only.label));
		return;
	}
	const half = runs.length >> 1;
	const middle = runs[half];
	if (middle === undefined) return;
	const upper = code.fresh("dscp_from");
	code.step(`DSCP ${middle.first} or more?`, jge.imm(3, middle.first, upper));
	emitRuns(code, runs.slice(0, half));
	code.label(upper);
	emitRuns(code, runs.slice(half));
}
