/**
 * The edge at which every command prints: text is made printable here. Terminal control sequences and
 * captures are written as bytes, which pass unchanged.
 */
import { printable } from "../printable.ts";
import type { CliContext } from "./context.ts";
import type { Output } from "./output.ts";

/** A context whose outputs print only printable text. What takes time to create is created at its first use. */
export function printableContext(context: CliContext): CliContext {
	let stdout: Output | undefined;
	let stderr: Output | undefined;
	return {
		programName: context.programName,
		programPath: context.programPath,
		argv: context.argv,
		env: context.env,
		get stdout() {
			stdout ??= printableOutput(context.stdout);
			return stdout;
		},
		get stderr() {
			stderr ??= printableOutput(context.stderr);
			return stderr;
		},
		get outputClosed() {
			return context.outputClosed;
		},
		// Its screen makes lines printable itself.
		get terminal() {
			return context.terminal;
		},
	};
}

function printableOutput(output: Output): Output {
	const isTTY = output.isTTY === true;
	const reader = isTTY ? "terminal" : "file";
	return {
		isTTY,
		write(text, written) {
			const safe = typeof text === "string" ? printable(text, reader) : text;
			return written === undefined ? output.write(safe) : output.write(safe, written);
		},
	};
}
