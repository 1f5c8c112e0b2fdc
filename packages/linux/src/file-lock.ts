/** flock(2) on a file: one process at a time, and the kernel lets go when its holder dies. */

import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { monotonicMs } from "./clock.ts";
import { ERRNO, fileErrorText } from "./errno.ts";
import { LinuxError } from "./error.ts";
import { check, libcFunction } from "./libc.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;

const flock = libcFunction<[fd: number, operation: number]>("int flock(int fd, int operation)");

/** How often a waiter tries: short against the time of a command, long against the price of a system call. */
const RETRY_MS = 20;

export interface FileLockOptions {
	/** How long to wait for another holder: 0 (the default) fails at once, Infinity waits for ever. */
	readonly waitMs?: number;
}

/** Held until disposed, or until the process ends. */
export class FileLock implements Disposable {
	readonly path: string;
	#fd: number;

	private constructor(path: string, fd: number) {
		this.path = path;
		this.#fd = fd;
	}

	/**
	 * Takes the lock on `path`, creating the file (mode 0600) if it is not there; the file stays. Throws
	 * LOCK_HELD with the holder's process id when the wait is over, LinuxError when the file cannot be opened.
	 */
	static async acquire(path: string, options: FileLockOptions = {}): Promise<FileLock> {
		const fd = open(path);
		try {
			const deadline = monotonicMs() + (options.waitMs ?? 0);
			for (;;) {
				const result = flock(fd, LOCK_EX | LOCK_NB);
				if (result === 0) return new FileLock(path, fd);
				if (result !== -ERRNO.EAGAIN && result !== -ERRNO.EINTR) check(result, `lock ${path}`);
				const leftMs = deadline - monotonicMs();
				if (leftMs <= 0) throw held(path, fd);
				await new Promise((resolve) => setTimeout(resolve, Math.min(RETRY_MS, leftMs)));
			}
		} catch (error) {
			closeSync(fd);
			throw error;
		}
	}

	/** Lets go. A second call does nothing. */
	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}
}

function open(path: string): number {
	try {
		return openSync(path, "a", 0o600);
	} catch (cause) {
		const reason = fileErrorText(cause);
		const permission = /^(EACCES|EPERM) /.test(reason);
		throw new LinuxError(permission ? "PERMISSION" : "SYSCALL", `open lock file ${path}: ${reason}`, {
			hint: permission ? "run it as root" : `${dirname(path)} must exist and be writable`,
			cause,
		});
	}
}

function held(path: string, fd: number): LinuxError {
	const pid = holder(fd);
	const who = pid === undefined ? "another process" : `process ${pid}${programOf(pid)}`;
	return new LinuxError("LOCK_HELD", `lock ${path}: held by ${who}`, {
		hint: "try again when it is done, or wait for it (-w)",
	});
}

/** ` (l3dsr)`; empty where it cannot be told. */
function programOf(pid: number): string {
	try {
		return ` (${readFileSync(`/proc/${pid}/comm`, "utf8").trim()})`;
	} catch {
		return "";
	}
}

/** Who holds it, from /proc/locks (`1: FLOCK ADVISORY WRITE 1234 00:1b:5678 0 EOF`); unknown across PID namespaces. */
function holder(fd: number): number | undefined {
	try {
		const { ino } = fstatSync(fd);
		for (const line of readFileSync("/proc/locks", "utf8").split("\n")) {
			const [, kind, , , pid, file] = line.split(/\s+/);
			if (kind === "FLOCK" && file?.endsWith(`:${ino}`) && Number(pid) > 0) return Number(pid);
		}
	} catch {
		// /proc may be missing or hidden: the message can do without.
	}
	return undefined;
}
