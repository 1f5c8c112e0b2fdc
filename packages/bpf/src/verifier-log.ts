/**
 * Reads the verifier's log: the decisive lines, the instruction that they are about, and the number of other
 * lines.
 */
import { errnoName } from "@l3dsr/linux";
import { BpfError } from "./error.ts";
import { commentAt, type ProgramSpec } from "./spec.ts";

export interface VerifierReport {
	/** The refusal: the lines after the last trace of an instruction or state, without the statistics. */
	readonly telling: readonly string[];
	/** The instruction slot that the refusal is about; absent if the log names none. */
	readonly slot?: number;
	/** Non-empty lines of the log that are not in `telling`. */
	readonly omittedLines: number;
}

/** Lines after the refusal: the statistics of every log, and the states of an endless loop. */
const EPILOGUE = /^(processed \d+ insns|verification time |stack depth |(cur|old) state: )/;

/**
 * Trace lines: instructions (`5: (61) r2 = …`), register states (`5: R1=ctx()`, `R0=…`), paths
 * (`from 4 to 7: …`), precision tracking, source lines, function boundaries.
 */
const TRACE = [
	/^\d+: /,
	/^(R\d+|fp-?\d+|frame\d+)(_\w+)?[:=]/,
	/^from \d+ to \d+/,
	/^(mark_precise|propagating|parent |last_idx|first_idx|regs=|returning from|to caller|caller:|callee:)/,
	/^(func#\d+|Live regs|Validating|; |\(\w\w\) )/,
	/^\s/,
];

/** The only refusal that the kernel writes on the same line as an instruction's trace. */
const ENDLESS = /infinite loop detected at insn \d+$/;

const INSTRUCTION = /^(\d+): \([0-9a-f]{2}\) /;
const NAMED_INSTRUCTION = /\binsn (\d+)\b/;

/** Accepts any text and returns a report. */
export function parseVerifierLog(log: string): VerifierReport {
	const lines = log
		.split("\n")
		.map((line) => line.trimEnd())
		.filter((line) => line !== "");
	let end = lines.length;
	while (end > 0 && EPILOGUE.test(lines[end - 1] ?? "")) end--;
	let start = end;
	while (start > 0 && !TRACE.some((trace) => trace.test(lines[start - 1] ?? ""))) start--;
	const endless = ENDLESS.exec(lines[end - 1] ?? "")?.[0];
	const telling = endless === undefined ? lines.slice(start, end) : [endless];
	const slot = slotOf(telling, lines.slice(0, start));
	return { telling, omittedLines: lines.length - telling.length, ...(slot === undefined ? {} : { slot }) };
}

function slotOf(telling: readonly string[], before: readonly string[]): number | undefined {
	// "back-edge from insn 3 to 1", "unreachable insn 7": checks that run before any instruction is traced.
	for (const line of telling) {
		const named = NAMED_INSTRUCTION.exec(line);
		if (named !== null) return Number(named[1]);
	}
	for (const line of before.toReversed()) {
		const traced = INSTRUCTION.exec(line);
		if (traced !== null) return Number(traced[1]);
	}
	return undefined;
}

type Explained = Pick<ProgramSpec, "name" | "instructions">;

/** The verifier refused a program. The message is the decisive line; `log` is the whole log. */
export class VerifierError extends BpfError {
	override readonly name = "VerifierError";
	readonly errno: number;
	readonly log: string;
	readonly report: VerifierReport;

	constructor(spec: Explained, errno: number, log: string) {
		const report = parseVerifierLog(log);
		const [first = "the verifier gave no reason", ...rest] = report.telling;
		super("VERIFIER", `load program ${spec.name}: ${errnoName(errno)}: ${first}`, {
			notes: [...rest, place(spec, report)],
		});
		this.errno = errno;
		this.log = log;
		this.report = report;
	}
}

function place(spec: Explained, { slot, omittedLines }: VerifierReport): string {
	const omitted = `${omittedLines} log ${omittedLines === 1 ? "line" : "lines"} omitted`;
	if (slot === undefined) return `at no instruction in particular (${omitted})`;
	const comment = commentAt(spec, slot);
	const purpose = comment === undefined ? "" : `, emitted for "${comment}"`;
	return `at insn ${slot}${purpose} (${omitted})`;
}
