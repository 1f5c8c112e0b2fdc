/** A system program that runs as long as its caller: it ends when its standard input does. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { L3dsrError } from "../errors.ts";
import { type Environment, findProgram, programMissing } from "./process.ts";

export interface HeldProgram extends AsyncDisposable {
	/** Writes to the program's standard input. */
	write(text: string): void;
	/** Everything that it has said on standard error so far. */
	readonly stderr: string;
	/** Its standard input is closed, or it ended by itself. */
	readonly ended: boolean;
}

/** Throws L3dsrError: PROGRAM_MISSING, or PROGRAM_FAILED when it cannot be started. */
export async function holdProgram(
	environment: Environment,
	program: string,
	args: readonly string[],
): Promise<HeldProgram> {
	const path = findProgram(program, environment.PATH);
	if (path === undefined) throw programMissing(program);
	const child = spawn(path, args, {
		env: { ...environment, LC_ALL: "C" },
		stdio: ["pipe", "ignore", "pipe"],
	});
	try {
		await once(child, "spawn");
	} catch (error) {
		const why = error instanceof Error ? error.message : String(error);
		const message = `run ${program}: ${path} cannot be started: ${why}`;
		throw new L3dsrError({ code: "PROGRAM_FAILED", message }, { cause: error });
	}
	let stderr = "";
	let ended = false;
	const closed = once(child, "close").then(() => {
		ended = true;
	});
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		stderr += text;
	});
	// A program that is gone already is told by `ended`.
	child.stdin.on("error", () => {});
	return {
		write: (text) => void child.stdin.write(text),
		get stderr() {
			return stderr;
		},
		get ended() {
			return ended;
		},
		async [Symbol.asyncDispose]() {
			child.stdin.end();
			await closed;
		},
	};
}
