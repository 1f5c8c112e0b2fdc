/**
 * Runs system programs (nft). They are found also where PATH is empty or unset, as under cron and in
 * boot scripts, and speak English whatever the locale, because their messages are read.
 */

import { accessSync, closeSync, constants, openSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { errnoText, runProgram, SyscallError } from "@l3dsr/linux";
import { L3dsrError } from "../errors.ts";

/** Searched after PATH. */
const SYSTEM_DIRECTORIES = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

/** The package of each program, where it is not called like it: [Debian, Fedora]. */
const PACKAGES: Readonly<Record<string, readonly [string, string]>> = {
	nft: ["nftables", "nftables"],
	ping: ["iputils-ping", "iputils"],
};

export interface ProgramResult {
	readonly exitCode: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** The process's environment: PATH is searched, the rest is handed on. */
export interface Environment {
	readonly PATH?: string | undefined;
	readonly [name: string]: string | undefined;
}

export interface RunOptions {
	/**
	 * Written to the program's standard input, which is empty without it. A program with input changes
	 * something, and so runs in a process group of its own: a Ctrl-C at the terminal reaches the caller, which
	 * can then clean up, and does not cut the change off.
	 */
	readonly input?: string;
}

/** Runs programs to their end. A program that reports failure is a result, not an exception. */
export interface ProgramRunner {
	/** Throws L3dsrError: PROGRAM_MISSING, or PROGRAM_FAILED when it cannot be started or dies of a signal. */
	run(program: string, args: readonly string[], options?: RunOptions): Promise<ProgramResult>;
}

/** The path of an executable file called `program`, first in `searchPath` (as in PATH), or undefined. */
export function findProgram(program: string, searchPath: string | undefined): string | undefined {
	// An empty element of PATH means the working directory; root's rules are not left to what lies there.
	const directories = (searchPath ?? "").split(delimiter).filter((directory) => directory.startsWith("/"));
	for (const directory of [...directories, ...SYSTEM_DIRECTORIES]) {
		const path = join(directory, program);
		try {
			accessSync(path, constants.X_OK);
			return path;
		} catch {
			// Not here; the next directory may have it.
		}
	}
	return undefined;
}

/** The runner for this host; `environment` is `process.env`. */
export function systemPrograms(environment: Environment): ProgramRunner {
	const found = new Map<string, string>();
	const env = { ...environment, LC_ALL: "C" };
	return {
		async run(program, args, options = {}) {
			const path = found.get(program) ?? findProgram(program, environment.PATH);
			if (path === undefined) throw programMissing(program);
			found.set(program, path);
			return await runToEnd(path, program, args, env, options);
		},
	};
}

/** The error of a program that {@link findProgram} does not find. */
export function programMissing(program: string): L3dsrError {
	const [debian, fedora] = PACKAGES[program] ?? [program, program];
	return new L3dsrError({
		code: "PROGRAM_MISSING",
		message: `run ${program}: it is not installed, neither in PATH nor in ${SYSTEM_DIRECTORIES.join(":")}`,
		hint: `install it: apt-get install ${debian} (Debian, Ubuntu) or dnf install ${fedora} (Fedora, RHEL)`,
	});
}

async function runToEnd(
	path: string,
	program: string,
	args: readonly string[],
	env: Environment,
	{ input }: RunOptions,
): Promise<ProgramResult> {
	const stdin = input === undefined ? undefined : wholeInput(input);
	const failed = (why: string, cause?: unknown) =>
		new L3dsrError({ code: "PROGRAM_FAILED", message: `run ${program}: ${why}` }, { cause });
	try {
		const { exitCode, signal, stdout, stderr } = await runProgram(path, [path, ...args], {
			env: Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : `${name}=${value}`)),
			ownSession: input !== undefined,
			...(stdin === undefined ? {} : { stdin }),
		});
		if (exitCode === null) throw failed(`it was killed by ${signal}`);
		return { exitCode, stdout: textOf(stdout), stderr: textOf(stderr) };
	} catch (error) {
		if (!(error instanceof SyscallError)) throw error;
		throw failed(`${path} cannot be started: ${errnoText(error.errno)}`, error);
	} finally {
		if (stdin !== undefined) closeSync(stdin);
	}
}

function textOf(bytes: Uint8Array): string {
	return Buffer.from(bytes).toString("utf8");
}

let inputs = 0;

/**
 * A descriptor that gives `input` from start to end. A pipe would end early when this process is killed, and
 * nft would take half a batch for the whole; so the input is written before the program is started, to a
 * file that has no name any more.
 */
function wholeInput(input: string): number {
	const fd = openInput();
	const bytes = Buffer.from(input);
	// Written by position: the offset that the program inherits stays at the start.
	for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
	return fd;
}

/** In /run where that may be written: /tmp may not be mounted yet while the host starts. */
function openInput(): number {
	const name = `.l3dsr-input-${process.pid}-${++inputs}`;
	for (const directory of ["/run", tmpdir()]) {
		const path = join(directory, name);
		try {
			const fd = openSync(path, "wx+", 0o600);
			unlinkSync(path);
			return fd;
		} catch {
			// The next directory may do.
		}
	}
	throw new L3dsrError({
		code: "FILE_WRITE",
		message: `write the input of a program: neither /run nor ${tmpdir()} can be written`,
		hint: "set TMPDIR to a directory that can",
	});
}
