/** How every command reports a failure: the diagnostics of src/errors.ts, as text or as JSON, on stderr. */
import { type Diagnostic, L3dsrError, renderDiagnostic } from "../errors.ts";
import { type CliContext, writeJson } from "./context.ts";
import { diagnosticsOf, exitCodeOf } from "./error-table.ts";
import type { ExitCode } from "./exit-codes.ts";

/** Prints the failure and returns its exit code. */
export function reportError(context: CliContext, error: unknown): ExitCode {
	const errors = diagnosticsOf(error);
	if (context.argv.includes("--json")) writeJson(context.stderr, "errors", { errors });
	else context.stderr.write(`${errors.map(renderDiagnostic).join("\n")}\n`);
	if (context.argv.includes("--debug")) context.stderr.write(`${traceOf(error)}\n`);
	return exitCodeOf(error);
}

/**
 * What commander says of a command line, in our words: `error: unknown option '--x'\n(Did you mean --y?)`.
 * `command` is the command whose --help to suggest: `l3dsr`, or `l3dsr up`.
 */
export function commandLineError(command: string, message: string, hint?: string): L3dsrError {
	const [first = "", ...rest] = message.split("\n");
	// In a two-letter word, one different letter is half of it.
	const short = /'[^']{1,2}'/.test(first);
	const suggestion = short ? undefined : /\(Did you mean (.*)\?\)/.exec(rest.join("\n"))?.[1];
	const diagnostic: Diagnostic = {
		code: "USAGE",
		message: first
			.replace(/^error: /, "")
			.replace(". Expected", ", expected")
			.replace(/\. Allowed choices are/, ", expected")
			.replace(/\.$/, ""),
		hint:
			suggestion === undefined
				? (hint ?? `${command} --help lists the choices`)
				: `did you mean ${suggestion}?`,
	};
	return new L3dsrError(diagnostic);
}

/** The stack of an error and of each of its causes. */
function traceOf(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	const cause = error.cause === undefined ? "" : `\ncaused by: ${traceOf(error.cause)}`;
	return `${error.stack ?? error.message}${cause}`;
}
