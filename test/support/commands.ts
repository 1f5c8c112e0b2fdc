/** The built commands, run as a user runs them. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

/** Path of `bin/NAME`; what it runs is built anew first if a source is newer. */
export function commandPath(name: string): string {
	execFileSync("sh", [`${ROOT}scripts/build.sh`], { stdio: ["ignore", "ignore", "inherit"] });
	return `${ROOT}bin/${name}`;
}

/** What runs the command behind it as a user who is not root, and may read a checkout in root's own folder. */
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

/** A command that has been started, and what came of it. */
export interface Started {
	readonly child: ChildProcess;
	/** What it has printed so far. */
	stdout(): string;
	readonly outcome: Promise<Outcome>;
}

/** Starts it as a shell does: in a process group of its own, which `interrupt` reaches. */
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

/** What Ctrl-C at a terminal does: the signal goes to the command and to all that it has started there. */
export function interrupt({ child }: Started): void {
	if (child.pid === undefined) throw new Error("the command was not started");
	process.kill(-child.pid, "SIGINT");
}
