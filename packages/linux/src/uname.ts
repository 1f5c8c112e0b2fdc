/**
 * The names of uname(2), read from proc_sys_kernel(5). node:os calls uname itself, but takes as long to load
 * as a command takes to read the ruleset; it is the fallback for a process without /proc.
 */
import { readFileSync } from "node:fs";

/** The release of the running kernel: `6.18.44-fc-v669`. */
export function kernelRelease(): string {
	return readName("osrelease") ?? process.getBuiltinModule("node:os").release();
}

/** The name of this host in its UTS namespace. */
export function hostName(): string {
	return readName("hostname") ?? process.getBuiltinModule("node:os").hostname();
}

/** Whether the running kernel reports this version, `[major, minor]`, or a later one. */
export function isKernelAtLeast([major, minor]: readonly [number, number]): boolean {
	const [, first, second] = /^(\d+)\.(\d+)/.exec(kernelRelease()) ?? [];
	return Number(first) > major || (Number(first) === major && Number(second) >= minor);
}

function readName(file: "hostname" | "osrelease"): string | undefined {
	try {
		return readFileSync(`/proc/sys/kernel/${file}`, "utf8").trimEnd();
	} catch {
		return undefined;
	}
}
