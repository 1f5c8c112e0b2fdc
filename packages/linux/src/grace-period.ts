/** Waits for an RCU grace period: every CPU has left the kernel code that it was running at the call. */
import { arch } from "node:process";
import { check, syscall } from "./libc.ts";

/** __NR_membarrier: x86-64 has its own table, arm64 and newer architectures share asm-generic's. */
const NR_MEMBARRIER = arch === "x64" ? 324 : 283;

/** MEMBARRIER_CMD_GLOBAL (membarrier(2)): in the kernel, synchronize_rcu(). */
const MEMBARRIER_CMD_GLOBAL = 1;

/**
 * After it, no packet is still in a program that was replaced before the call. Takes some milliseconds.
 * Throws SyscallError if the kernel does not support it (nohz_full CPUs).
 */
export function waitForGracePeriod(): void {
	check(syscall(NR_MEMBARRIER, MEMBARRIER_CMD_GLOBAL, 0, 0), "wait for running programs to end (membarrier)");
}
