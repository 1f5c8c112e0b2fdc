/** What a command uses of its process. Passed in, so that a test can replace it. */
import type { StandaloneName } from "@l3dsr/records";
import { jsonText, type Printable } from "../json.ts";
import { EXIT } from "./exit-codes.ts";
import { type Output, standardOutput } from "./output.ts";
import { type Terminal, terminalOf } from "./terminal.ts";

export interface CliContext {
	/** The name that the command was called by: `l3dsr`. */
	readonly programName: string;
	/** The file that this process was started from (`bin/l3dsr`, links resolved); the other commands are beside it. */
	readonly programPath: string;
	/** Arguments after the program's name. */
	readonly argv: readonly string[];
	readonly env: {
		readonly PATH?: string | undefined;
		readonly TERM?: string | undefined;
		readonly NO_COLOR?: string | undefined;
		readonly [name: string]: string | undefined;
	};
	readonly stdout: Output;
	readonly stderr: Output;
	/** Undefined if standard output is not a terminal. */
	readonly terminal?: Terminal | undefined;
	/** Aborted when nobody reads the output any longer (`l3dsr … | head`). */
	readonly outputClosed: AbortSignal;
}

/** Of a process that is this command's alone. */
export interface ProcessContext extends CliContext {
	/** `done` is called once the kernel has all output so far. */
	flush(done: () => void): void;
}

/** `patient`: the command prints its result and ends, so its output may wait for a slow reader. */
export function processContext(
	programName: string,
	process: NodeJS.Process,
	programPath: string,
	{ patient = true }: { readonly patient?: boolean } = {},
): ProcessContext {
	// Node loads a module for it, and few commands ask.
	let closed: AbortController | undefined;
	let lost: NodeJS.ErrnoException | undefined;
	const onError = (error: NodeJS.ErrnoException) => {
		if (error.code !== "EPIPE") process.exitCode = EXIT.failed;
		lost ??= error;
		closed?.abort(error);
	};
	let stdout: Output | undefined;
	let stderr: Output | undefined;
	return {
		programName,
		programPath,
		argv: process.argv.slice(2),
		env: process.env,
		get stdout() {
			stdout ??= standardOutput(process, "stdout", onError, patient);
			return stdout;
		},
		get stderr() {
			// There is nowhere left to report it.
			stderr ??= standardOutput(process, "stderr", () => {}, patient);
			return stderr;
		},
		get terminal() {
			return terminalOf(process);
		},
		get outputClosed() {
			closed ??= new AbortController();
			if (lost !== undefined) closed.abort(lost);
			return closed.signal;
		},
		flush(done) {
			const flushStderr = () => (stderr === undefined ? done() : void stderr.write("", done));
			if (stdout === undefined) flushStderr();
			else stdout.write("", flushStderr);
		},
	};
}

/** The exit code of a process: that of its run, or that of lost output. */
export function finalExitCode(process: NodeJS.Process, exitCode: number): number {
	return exitCode === EXIT.done ? Number(process.exitCode ?? EXIT.done) : exitCode;
}

/**
 * Prints a record as JSON, the one from which the text output is made; with `lines` on a single line, for a
 * series of records.
 */
export function writeJson<N extends StandaloneName>(
	stream: Output,
	name: N,
	record: Printable<N>,
	options: { readonly lines?: boolean } = {},
): void {
	stream.write(`${jsonText(name, record, { indented: options.lines !== true })}\n`);
}
