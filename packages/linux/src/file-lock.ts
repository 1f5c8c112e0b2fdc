/** flock(2) on a file: one process at a time holds it, and the kernel releases it when the holder dies. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { monotonicMs } from "./clock.ts";
import { ERRNO, errnoOfFileError, fileErrorText } from "./errno.ts";
import { LinuxError } from "./error.ts";
import { check, libcFunction } from "./libc.ts";

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

const flock = libcFunction<[fd: number, operation: number]>("int flock(int fd, int operation)");

/** Interval between attempts: short for a command, long compared to a system call. */
const RETRY_MS = 20;

export interface FileLockOptions {
	/** How long to wait for another holder: 0 (the default) fails at once, Infinity waits for ever. */
	readonly waitMs?: number;
	/** Called once, after a wait of one second, with `process 7 (l3dsr)` or `another process`. */
	readonly onWait?: (holder: string) => void;
}

const LONG_WAIT_MS = 1000;

/** A lock that can be attempted. */
export interface Attempt {
	/** Returns false while another process holds the lock. Throws if it cannot be taken at all. */
	take(): boolean;
	/** `process 7 (l3dsr)`, or `another process`. */
	holder(): string;
}

/** Returns when the lock `name` is taken. After `waitMs`, throws LOCK_HELD with the holder. */
export async function untilTaken(
	name: string,
	{ waitMs = 0, onWait }: FileLockOptions,
	{ take, holder }: Attempt,
): Promise<void> {
	const began = monotonicMs();
	let told = false;
	while (!take()) {
		const waited = monotonicMs() - began;
		if (waited >= waitMs) {
			throw new LinuxError("LOCK_HELD", `lock ${name}: held by ${holder()}`, {
				hint: "try again when it is done, or wait for it (-w)",
			});
		}
		if (!told && waited >= LONG_WAIT_MS) {
			told = true;
			onWait?.(holder());
		}
		await new Promise((resolve) => setTimeout(resolve, Math.min(RETRY_MS, waitMs - waited)));
	}
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
	 * Takes the lock on `path`. Creates the file (mode 0600) if it does not exist, and never deletes it.
	 * Throws LOCK_HELD with the holder's process id after `waitMs`, LinuxError if the file cannot be opened.
	 */
	static async acquire(path: string, options: FileLockOptions = {}): Promise<FileLock> {
		const fd = openOrCreate(path);
		try {
			await untilTaken(path, options, {
				take() {
					const result = flock(fd, LOCK_EX | LOCK_NB);
					if (result !== -ERRNO.EAGAIN && result !== -ERRNO.EINTR) check(result, `lock ${path}`);
					return result === 0;
				},
				holder: () => holderText(fd),
			});
			return new FileLock(path, fd);
		} catch (error) {
			closeSync(fd);
			throw error;
		}
	}

	/**
	 * Whether somebody holds the lock on `path`. Tries the lock shared, so that processes that ask at the same time
	 * do not take one another for holders. Changes nothing, and works on a read-only file system. Throws LinuxError if
	 * `path` cannot be opened.
	 */
	static isHeld(path: string): boolean {
		const fd = openIfThere(path);
		if (fd === undefined) return false;
		try {
			const result = flock(fd, LOCK_SH | LOCK_NB);
			if (result !== -ERRNO.EAGAIN) check(result, `lock ${path}`);
			return result !== 0;
		} finally {
			closeSync(fd);
		}
	}

	/** Releases the lock. A second call does nothing. */
	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}
}

/** If the file is a FIFO, do not wait for its other end. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;
const CREATE_FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

function openIfThere(path: string): number | undefined {
	try {
		return openSync(path, READ_FLAGS);
	} catch (cause) {
		if (errnoOfFileError(cause) === "ENOENT") return undefined;
		throw notOpened(path, cause);
	}
}

function openOrCreate(path: string): number {
	let fd: number;
	try {
		fd = openSync(path, CREATE_FLAGS, 0o600);
	} catch (cause) {
		throw errnoOfFileError(cause) === "ENXIO" ? notRegular(path, cause) : notOpened(path, cause);
	}
	if (fstatSync(fd).isFile()) return fd;
	closeSync(fd);
	throw notRegular(path);
}

function notOpened(path: string, cause: unknown): LinuxError {
	const reason = fileErrorText(cause);
	const permission = /^(EACCES|EPERM) /.test(reason);
	const full = /^(ENOSPC|EDQUOT) /.test(reason);
	const folder = dirname(path);
	return new LinuxError(permission ? "PERMISSION" : "SYSCALL", `open lock file ${path}: ${reason}`, {
		hint: permission
			? "run it as root"
			: full
				? `free space in ${folder}: df ${folder}, df -i ${folder}`
				: `${folder} must exist and be writable`,
		cause,
	});
}

function notRegular(path: string, cause?: unknown): LinuxError {
	return new LinuxError("SYSCALL", `open lock file ${path}: it is not a regular file`, {
		hint: `delete ${path}; the next command creates it again`,
		cause,
	});
}

function holderText(fd: number): string {
	const pid = holder(fd);
	return pid === undefined ? "another process" : `process ${pid}${programOf(pid)}`;
}

/** ` (l3dsr)`; empty if it is not known. */
function programOf(pid: number): string {
	try {
		return ` (${readFileSync(`/proc/${pid}/comm`, "utf8").trim()})`;
	} catch {
		return "";
	}
}

/**
 * The holder's process id, from /proc/locks (`1: FLOCK ADVISORY WRITE 1234 00:1b:5678 0 EOF`); unknown across
 * PID namespaces.
 */
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
