/** Waits until every CPU has left what it was doing in the kernel when the call began. */
import { arch } from "node:process";
import { check, syscall } from "./libc.ts";

/** __NR_membarrier: x86-64 has a table of its own, arm64 and the newer ones share asm-generic's. */
const NR_MEMBARRIER = arch === "x64" ? 324 : 283;

/** MEMBARRIER_CMD_GLOBAL (membarrier(2)): in the kernel, synchronize_rcu(). */
const MEMBARRIER_CMD_GLOBAL = 1;

/**
 * After it, no packet is still in a program that was replaced before the call. Takes some milliseconds.
 * Throws SyscallError where the kernel cannot wait so (nohz_full CPUs).
 */
export function waitForGracePeriod(): void {
	check(syscall(NR_MEMBARRIER, MEMBARRIER_CMD_GLOBAL, 0, 0), "wait for running programs to end (membarrier)");
}
