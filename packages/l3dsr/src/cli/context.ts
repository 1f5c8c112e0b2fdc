/** What a command may use of its process: passed in, so that a test can pass something else. */
import { EXIT } from "./exit-codes.ts";
import { type Output, standardOutput } from "./output.ts";

export interface CliContext {
	/** The name that the command was called by: `l3dsr`. */
	readonly programName: string;
	/** The file that this process was started from (`bin/l3dsr`, links resolved): its neighbours are the other commands. */
	readonly programPath: string;
	/** Arguments behind the program's name. */
	readonly argv: readonly string[];
	readonly env: {
		readonly PATH?: string | undefined;
		readonly TERM?: string | undefined;
		readonly NO_COLOR?: string | undefined;
		readonly [name: string]: string | undefined;
	};
	readonly stdout: Output;
	readonly stderr: Output;
	/** Aborted when nobody reads the output any longer (`l3dsr … | head`). */
	readonly outputClosed: AbortSignal;
}

/** `patient`: it prints what it has found and ends, so that its output may wait for a slow reader. */
export function processContext(
	programName: string,
	process: NodeJS.Process,
	programPath: string,
	{ patient = true }: { readonly patient?: boolean } = {},
): CliContext {
	const closed = new AbortController();
	const onError = (error: NodeJS.ErrnoException) => {
		if (error.code !== "EPIPE") process.exitCode = EXIT.failed;
		closed.abort(error);
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
			// Nothing is left to say it to.
			stderr ??= standardOutput(process, "stderr", () => {}, patient);
			return stderr;
		},
		outputClosed: closed.signal,
	};
}

/** What a process ends with: the exit code of its run, or of output that was lost. */
export function finalExitCode(process: NodeJS.Process, exitCode: number): number {
	return exitCode === EXIT.done ? Number(process.exitCode ?? EXIT.done) : exitCode;
}

/**
 * Prints a record as JSON, the same one that the text output was made of; with `lines` on one line, for
 * records that follow one another. u64 counters become numbers or, beyond 2^53, strings.
 */
export function writeJson(stream: Output, record: unknown, options: { readonly lines?: boolean } = {}): void {
	stream.write(`${JSON.stringify(record, jsonValue, options.lines === true ? undefined : 2)}\n`);
}

function jsonValue(_key: string, value: unknown): unknown {
	if (typeof value !== "bigint") return value;
	return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
}
