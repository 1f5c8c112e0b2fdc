/** Opens, enters and leaves network namespaces with setns(2) and unshare(2). */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { errnoOfFileError, fileErrorText } from "./errno.ts";
import { LinuxError } from "./error.ts";
import { check, libcFunction } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;

const OWN = "/proc/thread-self/ns/net";

const unshare = libcFunction<[flags: number]>("int unshare(int flags)");
const setns = libcFunction<[fd: number, type: number]>("int setns(int fd, int type)");

/**
 * An open network namespace: it exists at least until this is disposed, whatever happens to its name.
 *
 * A socket stays in the namespace in which it was opened, and a process starts in the namespace of the thread
 * that starts it, so {@link within} is enough to work in other namespaces from one process. /sys keeps
 * showing the interfaces of the namespace that mounted it.
 */
export class NetworkNamespace implements Disposable {
	#fd: number;

	private constructor(fd: number) {
		this.#fd = fd;
	}

	/**
	 * The namespace at `path`: `/run/netns/NAME`, `/proc/PID/ns/net`. Throws LinuxError: PERMISSION, or
	 * SYSCALL if the path does not exist or is not a network namespace.
	 */
	static open(path: string): NetworkNamespace {
		const doing = `open network namespace ${path}`;
		let fd: number;
		try {
			// If the file is a FIFO, do not wait for its writer.
			fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
		} catch (cause) {
			const denied = errnoOfFileError(cause) === "EACCES";
			throw new LinuxError(denied ? "PERMISSION" : "SYSCALL", `${doing}: ${fileErrorText(cause)}`, { cause });
		}
		return new NetworkNamespace(fd);
	}

	/** The namespace of this thread. */
	static current(): NetworkNamespace {
		return NetworkNamespace.open(OWN);
	}

	/**
	 * A new one without a name: nothing is left of it, however the process ends. Throws SyscallError, EPERM
	 * without CAP_SYS_ADMIN.
	 */
	static create(): NetworkNamespace {
		const doing = "make a network namespace";
		using home = NetworkNamespace.current();
		check(unshare(CLONE_NEWNET), doing);
		try {
			return NetworkNamespace.current();
		} finally {
			check(setns(home.#fd, CLONE_NEWNET), `${doing}: come back from it`);
		}
	}

	/** Valid until this is disposed. */
	get fd(): number {
		return this.#fd;
	}

	/** A path that other processes can open, as long as this is open here. */
	get path(): string {
		return `/proc/${process.pid}/fd/${this.#fd}`;
	}

	/** Identifies the namespace, as in `lsns` and `/proc/PID/ns/net`. */
	get inode(): number {
		return fstatSync(this.#fd).ino;
	}

	/**
	 * Runs `work` with this thread in the namespace, and returns to the old one before any other code of this
	 * process can run: `work` must not be asynchronous. Sockets that it opens, and processes that it starts,
	 * stay in the namespace.
	 */
	within<T>(work: () => T): T {
		using home = NetworkNamespace.current();
		this.enter();
		try {
			return work();
		} finally {
			check(setns(home.#fd, CLONE_NEWNET), "come back from a network namespace");
		}
	}

	/**
	 * Moves the calling thread into it for good, and with it the threads that are started later. For a
	 * process that has just started: Node's other threads stay behind. Throws LinuxError (SYSCALL,
	 * PERMISSION).
	 */
	enter(): void {
		check(setns(this.#fd, CLONE_NEWNET), "enter a network namespace");
	}

	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}
}

/** Moves the calling thread into the namespace at `path`: {@link NetworkNamespace.enter}. */
export function enterNetworkNamespace(path: string): void {
	using namespace = NetworkNamespace.open(path);
	check(setns(namespace.fd, CLONE_NEWNET), `enter network namespace ${path}`);
}
