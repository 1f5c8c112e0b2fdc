/**
 * The edge at which every command prints: text is made printable. What a command says to the terminal itself, and
 * captures, it writes as bytes, which pass as they are.
 */
import { printable } from "../printable.ts";
import type { CliContext } from "./context.ts";
import type { Output } from "./output.ts";

/** The context whose outputs print only what is printable. */
export function printableContext(context: CliContext): CliContext {
	let stdout: Output | undefined;
	let stderr: Output | undefined;
	return {
		...withoutOutputs(context),
		get stdout() {
			stdout ??= printableOutput(context.stdout);
			return stdout;
		},
		get stderr() {
			stderr ??= printableOutput(context.stderr);
			return stderr;
		},
		// Its screen makes lines printable itself.
		get terminal() {
			return context.terminal;
		},
	};
}

/** Outputs are made when they are first asked for, which takes time. */
function withoutOutputs({ programName, programPath, argv, env, outputClosed }: CliContext) {
	return { programName, programPath, argv, env, outputClosed };
}

function printableOutput(output: Output): Output {
	const isTTY = output.isTTY === true;
	return {
		isTTY,
		write(text, written) {
			const safe = typeof text === "string" ? printable(text, isTTY) : text;
			return written === undefined ? output.write(safe) : output.write(safe, written);
		},
	};
}
