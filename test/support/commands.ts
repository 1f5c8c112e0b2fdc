/** The built commands, run as a user runs them. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

/** Path of `bin/NAME`; builds the commands first if a source is newer. */
export function commandPath(name: string): string {
	execFileSync("sh", [`${ROOT}scripts/build.sh`], { stdio: ["ignore", "ignore", "inherit"] });
	return `${ROOT}bin/${name}`;
}

/** Runs the command after it as a user who is not root, but can read a checkout in root's own folder. */
export const AS_NOBODY: readonly [program: string, ...args: string[]] = [
	"setpriv",
	"--reuid=65534",
	"--regid=65534",
	"--clear-groups",
	"--inh-caps=-all,+dac_read_search",
	"--ambient-caps=-all,+dac_read_search",
];

export interface Outcome {
	readonly exitCode: number | null;
	readonly signal: NodeJS.Signals | null;
	readonly stdout: string;
	readonly stderr: string;
}

/** A started command and its result. */
export interface Started {
	readonly child: ChildProcess;
	/** The output so far. */
	stdout(): string;
	readonly outcome: Promise<Outcome>;
}

/** Starts it like a shell: in its own process group, which `interrupt` signals. */
export function start(path: string, ...args: readonly string[]): Started {
	const child = spawn(path, args, { detached: true, stdio: ["ignore", "pipe", "pipe"] });
	const text = { stdout: "", stderr: "" };
	child.stdout.setEncoding("utf8").on("data", (chunk) => {
		text.stdout += chunk;
	});
	child.stderr.setEncoding("utf8").on("data", (chunk) => {
		text.stderr += chunk;
	});
	const outcome = once(child, "close").then(([exitCode, signal]) => ({ exitCode, signal, ...text }));
	return { child, stdout: () => text.stdout, outcome };
}

/** Like Ctrl-C in a terminal: signals the command and all the processes that it has started there. */
export function interrupt({ child }: Started): void {
	if (child.pid === undefined) throw new Error("the command was not started");
	process.kill(-child.pid, "SIGINT");
}
