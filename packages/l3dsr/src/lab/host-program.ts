/** Runs programs on a host of the lab: in its network namespace, until they end. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { NetworkNamespace, namedNamespacePath } from "@l3dsr/linux";
import { L3dsrError } from "../errors.ts";

/** The process's environment. */
export interface LabEnvironment {
	readonly PATH?: string | undefined;
	readonly [name: string]: string | undefined;
}

export interface LabProgram {
	/** The program and its arguments. */
	readonly command: readonly string[];
	readonly environment: LabEnvironment;
	/** Written to its standard input; default: empty. */
	readonly input?: string;
}

export interface EndedProgram {
	/** 128 or more if a signal ended it, as in a shell. */
	readonly exitCode: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** Where to look for programs in addition to PATH, which may be empty under cron. */
const SYSTEM_DIRECTORIES = "/usr/sbin:/sbin:/usr/bin:/bin";

/**
 * Starts the program in its own session, so that the terminal's signals do not reach it; its messages are in English.
 */
export function startOnHost(namespace: string, program: LabProgram): ChildProcessWithoutNullStreams {
	const { command, environment } = program;
	const [file = "", ...args] = command;
	const path = [environment.PATH, SYSTEM_DIRECTORIES].filter(Boolean).join(":");
	using there = NetworkNamespace.open(namedNamespacePath(namespace));
	// A process starts in the namespace of the thread that creates it.
	return there.within(() =>
		spawn(file, args, {
			env: { ...environment, PATH: path, LC_ALL: "C" },
			detached: true,
			stdio: ["pipe", "pipe", "pipe"],
		}),
	);
}

/**
 * A failure that the program reports is a result. Throws PROGRAM_MISSING, or PROGRAM_FAILED if it cannot be started.
 */
export async function runToEnd(namespace: string, program: LabProgram): Promise<EndedProgram> {
	const child = startOnHost(namespace, program);
	let stdout = "";
	let stderr = "";
	child.stdout.setEncoding("utf8").on("data", (text: string) => {
		stdout += text;
	});
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		stderr += text;
	});
	child.stdin.on("error", () => {}); // it ended without reading; its exit code tells how
	child.stdin.end(program.input ?? "");
	return await new Promise((resolve, reject) => {
		child.on("error", (error) => reject(notStarted(program.command[0] ?? "", error)));
		child.on("close", (code) => resolve({ exitCode: code ?? 128, stdout, stderr }));
	});
}

function notStarted(file: string, error: NodeJS.ErrnoException): L3dsrError {
	if (error.code !== "ENOENT") {
		return new L3dsrError(
			{ code: "PROGRAM_FAILED", message: `run ${file}: ${error.message}` },
			{ cause: error },
		);
	}
	return new L3dsrError(
		{
			code: "PROGRAM_MISSING",
			message: `run ${file}: it is not installed, neither in PATH nor in ${SYSTEM_DIRECTORIES}`,
			hint: `the lab needs it: install it (apt-get install ${PACKAGES[file] ?? file})`,
		},
		{ cause: error },
	);
}

/** The Debian package of a program with another name. */
const PACKAGES: Readonly<Record<string, string>> = { ping: "iputils-ping" };
