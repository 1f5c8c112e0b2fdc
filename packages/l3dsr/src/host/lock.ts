/**
 * The lock around every change of a host's rules: observe, plan, apply and verify run under it together.
 * Each network namespace has its own rules, and so its own lock.
 */
import { LinuxError } from "@l3dsr/linux";
import { runFile } from "./run-file.ts";

export interface HostLockOptions {
	/** How long to wait while another holds it: 0 fails at once, Infinity waits for ever. */
	readonly waitMs: number;
	/** Called once with the holder, when the wait gets long. */
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
 * after the wait. Root of a user namespace may change its network namespace but not write to /run. It takes
 * a lock in the namespace itself, as all such processes do; between it and the host's root, only the
 * kernel's generation check protects a change.
 */
export async function acquireHostLock(options: HostLockOptions): Promise<Disposable> {
	// Only commands that change something load the FFI.
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
