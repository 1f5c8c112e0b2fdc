/** Runs daemons of Debian in a test's own namespaces, with copies of their folders and a separate bus. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { enterNetns, run, waitFor } from "../../../../test/support/netns.ts";

/** Time limit for a daemon to get ready, or to end, on a busy machine. */
const PATIENCE_MS = 20_000;

export class Daemon implements AsyncDisposable {
	readonly #name: string;
	readonly #child: ChildProcess;
	readonly #ended: Promise<unknown>;
	#said = "";

	private constructor(program: string, args: readonly string[], env: Readonly<Record<string, string>>) {
		this.#name = basename(program);
		this.#child = spawn(program, args, {
			stdio: ["ignore", "pipe", "pipe"],
			env: { ...process.env, ...env },
		});
		for (const stream of [this.#child.stdout, this.#child.stderr]) {
			stream?.setEncoding("utf8").on("data", (text: string) => {
				this.#said += text;
			});
		}
		this.#ended = once(this.#child, "close");
	}

	/** Returns once `isReady` is true. If it never is, the error contains the daemon's output. */
	static async start(
		command: readonly [program: string, ...args: string[]],
		isReady: () => boolean,
		env: Readonly<Record<string, string>> = {},
	): Promise<Daemon> {
		const [program, ...args] = command;
		const daemon = new Daemon(program, args, env);
		await daemon.until("ready", isReady);
		return daemon;
	}

	get pid(): number | undefined {
		return this.#child.pid;
	}

	async until(what: string, condition: () => boolean): Promise<void> {
		await waitFor(
			`${this.#name} ${what}`,
			() => {
				assert.equal(this.#child.exitCode, null, `${this.#name} ended: ${this.#said}`);
				return condition();
			},
			PATIENCE_MS,
		).catch((error) => {
			throw new Error(`${error.message}: ${this.#said}`);
		});
	}

	signal(signal: NodeJS.Signals): void {
		this.#child.kill(signal);
	}

	/** Like `systemctl stop`. */
	async stop(): Promise<void> {
		this.#child.kill("SIGTERM");
		await this.#ended;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGKILL");
		await this.#ended;
	}
}

/** True if the command succeeds; a daemon's own program does once the daemon answers. */
export function succeeds(program: string, ...args: readonly string[]): boolean {
	try {
		run(program, ...args);
		return true;
	} catch {
		return false;
	}
}

/** Enters a network namespace with its own /etc: NetworkManager would write the machine's resolv.conf. */
export function enterDaemonNetns(): void {
	enterNetns();
	const copy = mkdtempSync("/run/etc-");
	// With owners, which daemons check.
	run("cp", "-a", "/etc/.", copy);
	run("mount", "--bind", copy, "/etc");
}

/** Mounts an empty folder over this one. */
export function emptyForTest(path: string): void {
	assert(statSync(path).isDirectory());
	run("mount", "--bind", mkdtempSync("/run/empty-"), path);
}

/** The commands in a unit's ExecStart=, ExecReload= or ExecStop=, each split into words. */
export function unitCommand(
	unit: string,
	key: "ExecStart" | "ExecReload" | "ExecStop",
): [string, ...string[]] {
	const text = readFileSync(`/lib/systemd/system/${unit}`, "utf8");
	// Prefixes of systemd.service(5), as in ExecStart=!!/lib/systemd/systemd-networkd.
	const line = new RegExp(`^${key}=[-@:+!]*(.*)$`, "m").exec(text)?.[1];
	const [program, ...args] = line?.split(" ") ?? [];
	assert(program !== undefined, `${unit} has no ${key}=`);
	return [program, ...args];
}

/** A system bus in the test's own /run, where all programs look for it. */
export async function startBus(): Promise<Daemon> {
	const socket = "/run/dbus/system_bus_socket";
	mkdirSync("/run/dbus", { recursive: true });
	const config = "/run/dbus/test.conf";
	writeFileSync(
		config,
		`<busconfig>
			<type>system</type>
			<listen>unix:path=${socket}</listen>
			<auth>EXTERNAL</auth>
			<policy context="default">
				<allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
			</policy>
		</busconfig>`,
	);
	return await Daemon.start(["dbus-daemon", "--nofork", `--config-file=${config}`], () =>
		succeeds(
			"busctl",
			"--timeout=1",
			"call",
			"org.freedesktop.DBus",
			"/org/freedesktop/DBus",
			"org.freedesktop.DBus",
			"GetId",
		),
	);
}
