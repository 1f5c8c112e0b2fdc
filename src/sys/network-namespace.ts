/** setns(2) into a network namespace. */
import { closeSync, openSync } from "node:fs";
import { L3dsrError } from "../errors.ts";
import { check, libcFunction } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;

const setns = libcFunction<[fd: number, type: number]>("int setns(int fd, int type)");

/**
 * Moves the calling thread into the namespace at `path` (`/run/netns/NAME`, `/proc/PID/ns/net`). Sockets that
 * are open stay where they were opened; /sys keeps showing the old namespace's interfaces.
 *
 * Only for the main thread of a process that exists for this: node's other threads stay behind, so name
 * resolution and whatever else they do would happen elsewhere. Throws KERNEL_SYSCALL, KERNEL_PERMISSION.
 */
export function enterNetworkNamespace(path: string): void {
	let fd: number;
	try {
		fd = openSync(path, "r");
	} catch (cause) {
		const reason = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
		throw new L3dsrError(
			{ code: "KERNEL_SYSCALL", message: `enter network namespace ${path}: ${reason}` },
			{ cause },
		);
	}
	try {
		check(setns(fd, CLONE_NEWNET), `enter network namespace ${path}`);
	} finally {
		closeSync(fd);
	}
}
