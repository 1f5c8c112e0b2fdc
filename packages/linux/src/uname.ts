/**
 * The names that uname(2) gives, read from proc_sys_kernel(5). node:os calls uname itself, and takes as long to load as a
 * command takes to read the ruleset; it is there for a process without /proc.
 */
import { readFileSync } from "node:fs";

/** The running kernel: `6.18.44-fc-v669`. */
export function kernelRelease(): string {
	return readName("osrelease") ?? process.getBuiltinModule("node:os").release();
}

/** This host, as its UTS namespace calls it. */
export function hostName(): string {
	return readName("hostname") ?? process.getBuiltinModule("node:os").hostname();
}

/** Whether the running kernel says that it is this version, as `[major, minor]`, or a later one. */
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
