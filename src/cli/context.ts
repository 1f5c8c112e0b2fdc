/** What a command may use of its process: passed in, so that a test can pass something else. */
import type { Writable } from "node:stream";
import { EXIT } from "../errors.ts";

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
	readonly stdout: Writable & { readonly isTTY?: boolean };
	readonly stderr: Writable & { readonly isTTY?: boolean };
	/** Aborted when nobody reads the output any longer (`l3dsr … | head`). */
	readonly outputClosed: AbortSignal;
}

export function processContext(
	programName: string,
	process: NodeJS.Process,
	programPath: string,
): CliContext {
	const closed = new AbortController();
	process.stdout.on("error", (error: NodeJS.ErrnoException) => {
		if (error.code !== "EPIPE") process.exitCode = EXIT.failed;
		closed.abort(error);
	});
	return {
		programName,
		programPath,
		argv: process.argv.slice(2),
		env: process.env,
		stdout: process.stdout,
		stderr: process.stderr,
		outputClosed: closed.signal,
	};
}

/**
 * Prints a record as JSON, the same one that the text output was made of; with `lines` on one line, for
 * records that follow one another. u64 counters become numbers or, beyond 2^53, strings.
 */
export function writeJson(
	stream: Writable,
	record: unknown,
	options: { readonly lines?: boolean } = {},
): void {
	stream.write(`${JSON.stringify(record, jsonValue, options.lines === true ? undefined : 2)}\n`);
}

function jsonValue(_key: string, value: unknown): unknown {
	if (typeof value !== "bigint") return value;
	return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
}
