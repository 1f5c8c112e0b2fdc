/**
 * Network namespaces for tests that use the kernel.
 *
 * A test file that begins with `enterNetns()` runs completely in its own network namespace. setns(2) would
 * change the namespace of one thread of a shared process, so the file is run a second time under unshare(1),
 * and its results go to the test runner as usual. Mounts and processes have their own namespaces too:
 * everything that the file leaves behind (interfaces, further namespaces, servers) is deleted with it, even
 * after a crash, a timeout or SIGINT.
 */

import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { FROM_SOURCE } from "./node.ts";

const ENTERED = "L3DSR_TEST_NETNS";

/**
 * Mounts its own /sys and /run (named namespaces, lock files), sets the loopback up, then runs the command.
 */
const PREPARE = `
set -e
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir /run/netns
ip link set lo up
exec "$@"`;

/**
 * Call it before anything else in a test file. Throws (so the file fails) if not root: a kernel test that did
 * not run must not look as if it had passed.
 */
export function enterNetns(): void {
	if (process.env[ENTERED] !== undefined) return;
	if (process.getuid?.() !== 0) throw new Error("kernel tests need root: run them with sudo");
	const command = [
		["setpriv", "--pdeathsig", "KILL"],
		["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"],
		["sh", "-c", PREPARE, "sh"],
		[process.execPath, ...process.execArgv, ...process.argv.slice(1)],
	].flat();
	const { status, error } = spawnSync(command[0] as string, command.slice(1), {
		stdio: "inherit",
		env: { ...process.env, [ENTERED]: "1" },
	});
	if (error !== undefined) throw error;
	process.exit(status ?? 1);
}

/** Runs a program to its end and returns its stdout; throws an error with its stderr if it fails. */
export function run(program: string, ...args: readonly string[]): string {
	return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** `ip("link add v0 type veth peer name v1")`: one command of ip(8), with words separated by blanks. */
export function ip(command: string): string {
	return run("ip", ...command.trim().split(/\s+/));
}

let created = 0;

/** A further namespace for peers, besides the file's own: `using client = new Netns("client")`. */
export class Netns implements Disposable {
	readonly name: string;
	readonly #children: ChildProcess[] = [];

	constructor(role: string) {
		this.name = `l3test-${process.pid}-${++created}-${role}`;
		ip(`netns add ${this.name}`);
		this.ip("link set lo up");
	}

	/** Like {@link run}, in the namespace. */
	run(program: string, ...args: readonly string[]): string {
		return run("ip", "netns", "exec", this.name, program, ...args);
	}

	/** Like {@link ip}, in the namespace. */
	ip(command: string): string {
		return run("ip", "-n", this.name, ...command.trim().split(/\s+/));
	}

	/** Starts a program that runs until the namespace is disposed. */
	spawn(program: string, ...args: readonly string[]): ChildProcess {
		const child = spawn("ip", ["netns", "exec", this.name, program, ...args], { stdio: "pipe" });
		this.#children.push(child);
		return child;
	}

	[Symbol.dispose](): void {
		for (const child of this.#children) child.kill("SIGKILL");
		ip(`netns delete ${this.name}`);
	}
}

/** Runs a TypeScript file in its own process; returns its stdout, throws with its stderr if it fails. */
export async function runScript(file: string, ...args: readonly string[]): Promise<string> {
	const child = spawn(process.execPath, [...FROM_SOURCE, file, ...args], { stdio: "pipe" });
	let stdout = "";
	let stderr = "";
	child.stdout.setEncoding("utf8").on("data", (text: string) => {
		stdout += text;
	});
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		stderr += text;
	});
	const [status] = (await once(child, "close")) as [number | null]; // the event's documented arguments
	if (status !== 0) throw new Error(`${file} ended with ${status}: ${stderr}`);
	return stdout;
}

/** Multiplies the deadlines of `waitFor`: emulated machines (test/kernels) are slow. */
const PATIENCE = Number(process.env["L3DSR_PATIENCE"]) || 1;

/**
 * Waits until `condition` returns something truthy, and returns that. Fails after the deadline, with `what`
 * in the error.
 */
export async function waitFor<T>(
	what: string,
	condition: () => T | Promise<T>,
	timeoutMs = 5000,
): Promise<NonNullable<T>> {
	const limitMs = timeoutMs * PATIENCE;
	const deadline = performance.now() + limitMs;
	for (;;) {
		const value = await condition();
		if (value) return value;
		if (performance.now() > deadline) throw new Error(`no ${what} within ${limitMs} ms`);
		await delay(10);
	}
}
