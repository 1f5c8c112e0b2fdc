/**
 * A failure before it is printed: a code, what was done to which object, why it failed, and what to do next. Errors
 * of the libraries pass through the layers unchanged; cli/error-table.ts says what each means to a user.
 */
import { excerptOf, printableExcerpt } from "./excerpt.ts";

/** Every kind of failure that a user can meet; cli/error-table.ts has its meaning and exit code. */
export type ErrorCode =
	// The command line of l3dsr (src/cli)
	| "USAGE"
	// Grammar of iptables rules (src/syntax)
	| "RULE_SYNTAX"
	| "RULE_UNKNOWN_OPTION"
	| "RULE_UNSUPPORTED"
	| "RULE_BAD_VALUE"
	| "RULE_MISSING"
	| "RULE_CONFLICT"
	| "RULE_NOT_FOUND"
	| "RULE_TABLE"
	// eBPF programs before a kernel sees them (@l3dsr/bpf)
	| "BPF_BUILD"
	// The configuration file (src/syntax/config) and what it asks for (src/model)
	| "CONFIG_SYNTAX"
	| "CONFIG_UNKNOWN_KEY"
	| "CONFIG_MISSING"
	| "CONFIG_BAD_VALUE"
	| "CONFIG_DSCP_RANGE"
	| "CONFIG_READ"
	| "MODEL_DSCP_CONFLICT"
	| "MODEL_SELECTION_CONFLICT"
	| "MODEL_REWRITE_CHAIN"
	| "MODEL_ANSWER_CONFLICT"
	| "MODEL_DUPLICATE"
	// Files that a command reads or writes
	| "FILE_READ"
	| "STATE_READ"
	| "REAL_NOT_FOUND"
	| "CAPTURE_FORMAT"
	| "FILE_WRITE"
	| "PROBE_TARGET"
	// The kernel and the system programs (@l3dsr/linux, @l3dsr/bpf, src/rewrite, src/host)
	| "KERNEL_PERMISSION"
	| "KERNEL_SYSCALL"
	| "KERNEL_VERIFIER"
	| "KERNEL_FEATURE"
	| "PROGRAM_MISSING"
	| "PROGRAM_FAILED"
	| "LOCK_HELD"
	| "AGENT_RUNNING"
	| "DATAPATH_FOREIGN"
	| "DATAPATH_CHANGED"
	| "DIRECTOR_DRIFT"
	| "DATAPATH_VERIFY"
	// The lab (src/lab)
	| "LAB_EXISTS"
	| "LAB_NOT_FOUND"
	| "LAB_WORKER"
	| "LAB_CLAIM"
	// What the agent serves (src/serve)
	| "API_REQUEST"
	| "API_REFUSED"
	| "API_UNAVAILABLE"
	| "INTERNAL";

/** A position in a text that a person wrote: a file, or the command line (`source` "argument"). */
export interface Position {
	/** The file's name as given, or `argument`. */
	readonly source: string;
	/** Counts from 1. */
	readonly line: number;
	/** Counts from 1, in UTF-16 code units of `text`. */
	readonly column: number;
	/** Length of the marked part, at least 1. */
	readonly length: number;
	/** The whole line, for the excerpt. */
	readonly text: string;
}

/** One finding: plain data, rendered as text or as JSON from the same record. */
export interface Diagnostic {
	readonly code: ErrorCode;
	readonly message: string;
	readonly position?: Position;
	readonly notes?: readonly string[];
	readonly hint?: string;
}

/** Thrown for one or several diagnostics at once (parsers collect all of them before they throw). */
export class L3dsrError extends Error {
	readonly diagnostics: Diagnostics;

	constructor(diagnostics: Diagnostic | Diagnostics, options?: ErrorOptions) {
		const all = "code" in diagnostics ? ([diagnostics] as const) : diagnostics;
		super(all.map((diagnostic) => diagnostic.message).join("; "), options);
		this.name = "L3dsrError";
		this.diagnostics = all;
	}

	get code(): ErrorCode {
		return this.diagnostics[0].code;
	}
}

/** One or more findings; the first decides the kind of failure. */
export type Diagnostics = readonly [Diagnostic, ...Diagnostic[]];

/** Describes any failure. Passed down to the code that prints failures, because `cli` decides on the words. */
export type DiagnosticsOf = (error: unknown) => Diagnostics;

/** A failure of any kind with additional notes. */
export class NotedError extends Error {
	readonly failure: unknown;
	readonly notes: readonly string[];

	constructor(failure: unknown, notes: readonly string[], options: ErrorOptions) {
		super(failure instanceof Error ? failure.message : String(failure), options);
		this.name = "NotedError";
		this.failure = failure;
		this.notes = notes;
	}
}

/** The same failure with notes; `cause`: what is known besides the failure itself. */
export function withNotes(failure: unknown, notes: readonly string[], cause: unknown = failure): Error {
	if (!(failure instanceof L3dsrError)) return new NotedError(failure, notes, { cause });
	return new L3dsrError(annotated(failure.diagnostics, notes), { cause });
}

/** The notes are added to the first. */
export function annotated(diagnostics: Diagnostics, notes: readonly string[]): Diagnostics {
	if (notes.length === 0) return diagnostics;
	const [first, ...rest] = diagnostics;
	return [{ ...first, notes: [...(first.notes ?? []), ...notes] }, ...rest];
}

/** `file:line:column: error[CODE]: message`, the excerpt with its caret, notes and hint; no final newline. */
export function renderDiagnostic(diagnostic: Diagnostic): string {
	const { position } = diagnostic;
	const lines: string[] = [];
	const place = position === undefined ? "" : `${position.source}:${position.line}:${position.column}: `;
	lines.push(`${place}error[${diagnostic.code}]: ${diagnostic.message}`);
	if (position !== undefined) {
		// A tab before the caret must stay a tab, or the caret is misaligned.
		const { text, column, length } = printableExcerpt(excerptOf(position));
		const lead = text.slice(0, column - 1).replace(/[^\t]/g, " ");
		const gutter = position.source === "argument" ? "" : `${position.line} | `;
		lines.push(gutter + text);
		lines.push(" ".repeat(gutter.length) + lead + "^".repeat(Math.max(1, length)));
	}
	for (const note of diagnostic.notes ?? []) lines.push(`note: ${note}`);
	if (diagnostic.hint !== undefined) lines.push(`hint: ${diagnostic.hint}`);
	return lines.join("\n");
}
