/** setns(2) into a network namespace, and unshare(2) for one without a name. */
import { closeSync, openSync } from "node:fs";
import { LinuxError } from "./error.ts";
import { check, libcFunction } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;

const OWN = "/proc/thread-self/ns/net";

const unshare = libcFunction<[flags: number]>("int unshare(int flags)");
const setns = libcFunction<[fd: number, type: number]>("int setns(int fd, int type)");

/**
 * Moves the calling thread into the namespace at `path` (`/run/netns/NAME`, `/proc/PID/ns/net`). Sockets that
 * are open stay where they were opened; /sys keeps showing the old namespace's interfaces.
 *
 * Only for the main thread of a process that exists for this: node's other threads stay behind, so name
 * resolution and whatever else they do would happen elsewhere. Throws LinuxError (SYSCALL, PERMISSION).
 */
export function enterNetworkNamespace(path: string): void {
	let fd: number;
	try {
		fd = openSync(path, "r");
	} catch (cause) {
		const reason = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
		throw new LinuxError("SYSCALL", `enter network namespace ${path}: ${reason}`, { cause });
	}
	try {
		check(setns(fd, CLONE_NEWNET), `enter network namespace ${path}`);
	} finally {
		closeSync(fd);
	}
}

/**
 * A network namespace that nothing names: it lives as long as this process holds it open, or a socket or
 * device in it, so nothing is left of it however the process ends.
 */
export class UnnamedNetworkNamespace implements Disposable {
	readonly #home: number;
	readonly #fd: number;

	/** Throws SyscallError, EPERM without CAP_SYS_ADMIN. */
	constructor() {
		const doing = "make a network namespace";
		this.#home = openSync(OWN, "r");
		try {
			check(unshare(CLONE_NEWNET), doing);
			try {
				this.#fd = openSync(OWN, "r");
			} finally {
				check(setns(this.#home, CLONE_NEWNET), `${doing}: come back from it`);
			}
		} catch (error) {
			closeSync(this.#home);
			throw error;
		}
	}

	/** For nsenter(1), as long as this is open. */
	get path(): string {
		return `/proc/${process.pid}/fd/${this.#fd}`;
	}

	/**
	 * Runs `work` with this thread in the namespace, and comes back before anything else of this process can
	 * run: `work` must not wait. Sockets that it opens stay in the namespace.
	 */
	within<T>(work: () => T): T {
		check(setns(this.#fd, CLONE_NEWNET), "enter a network namespace");
		try {
			return work();
		} finally {
			check(setns(this.#home, CLONE_NEWNET), "come back from a network namespace");
		}
	}

	[Symbol.dispose](): void {
		closeSync(this.#fd);
		closeSync(this.#home);
	}
}
