/** Runs l3dsr in the test's own process; returns its output and exit code. */
import { Writable } from "node:stream";
import { assertRecords } from "../../../../test/support/records.ts";
import type { CliContext } from "../../src/cli/context.ts";
import { runL3dsr } from "../../src/cli/l3dsr.ts";

export interface Outcome {
	readonly exitCode: number;
	readonly stdout: string;
	readonly stderr: string;
}

export interface CapturedContext {
	readonly context: CliContext;
	readonly printed: { stdout: string; stderr: string };
}

export function captureContext(...argv: string[]): CapturedContext {
	const printed = { stdout: "", stderr: "" };
	const sink = (name: "stdout" | "stderr") =>
		new Writable({
			write(chunk, _encoding, done) {
				printed[name] += String(chunk);
				done();
			},
		});
	return {
		printed,
		context: {
			programName: "l3dsr",
			programPath: "/nowhere/bin/l3dsr",
			argv,
			env: { PATH: process.env["PATH"] },
			stdout: sink("stdout"),
			stderr: sink("stderr"),
			outputClosed: new AbortController().signal,
		},
	};
}

/** What it prints with --json must be records that the schemas describe. */
export async function l3dsr(...argv: string[]): Promise<Outcome> {
	const { context, printed } = captureContext(...argv);
	const exitCode = await runL3dsr(context);
	if (argv.includes("--json")) {
		assertRecords(printed.stdout);
		// Beside warnings, which are text.
		if (printed.stderr.startsWith("{")) assertRecords(printed.stderr);
	}
	return { exitCode, ...printed };
}
