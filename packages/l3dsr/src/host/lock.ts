/**
 * The lock around every change of a host's rules: observe, plan, apply and verify are one. Each network
 * namespace has rules of its own, and so a lock of its own.
 */
import { LinuxError } from "@l3dsr/linux";
import { runFile } from "./run-file.ts";

export interface HostLockOptions {
	/** How long to wait while another holds it: 0 fails at once, Infinity waits for ever. */
	readonly waitMs: number;
	/** Told once, who holds it, when the wait gets long. */
	readonly onWait?: (holder: string) => void;
	/** Default /run. */
	readonly directory?: string;
}

/** `/run/l3dsr.INODE.lock`, INODE that of the network namespace: by default the one this process is in. */
export function hostLockPath(directory?: string, namespacePath?: string): string {
	return runFile("lock", directory, namespacePath);
}

/** Another process has the lock, and the wait for it is over. */
export function isLockHeld(error: unknown): boolean {
	return error instanceof LinuxError && error.code === "LOCK_HELD";
}

/**
 * Takes the lock; held until disposed or until the process ends. Throws LOCK_HELD, which names the holder,
 * when the wait is over.
 *
 * Root of a user namespace may change its network namespace and not write to /run. It takes a lock of the namespace
 * itself, which all of its kind take; between it and the host's root, what the kernel refuses to change unseen decides.
 */
export async function acquireHostLock(options: HostLockOptions): Promise<Disposable> {
	// The FFI is loaded only by commands that change something.
	const { FileLock } = await import("@l3dsr/linux");
	const { directory, ...waiting } = options;
	try {
		return await FileLock.acquire(hostLockPath(directory), waiting);
	} catch (error) {
		if (!(error instanceof LinuxError) || error.code !== "PERMISSION") throw error;
		const { NamespaceLock } = await import("@l3dsr/linux");
		return await NamespaceLock.acquire("l3dsr", waiting);
	}
}
