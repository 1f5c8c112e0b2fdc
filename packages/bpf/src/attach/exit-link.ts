/**
 * A TRACING program at the exit of another program (fexit, Linux 5.5+). It runs each time the other one
 * returns, and sees its argument and verdict. It can only observe, but works at XDP, where no second program
 * can be attached.
 */
import { closeSync } from "node:fs";
import { check } from "@l3dsr/linux";
import { bpf } from "../bpf-syscall.ts";
import { struct } from "../struct.ts";
import type { AttachableProgram } from "./hook.ts";

/** The context of a program at the exit of another one. */
export const PROGRAM_EXIT = struct("exit", {
	/** The other program's r1 inside the kernel: the address of a `struct xdp_buff` or `struct sk_buff`. */
	context: "u64",
	/** The other program's return value: an `int` in the lower half. */
	verdict: "u64",
});

/** Keeps the program attached until it is disposed of or the process ends. */
export class ExitLink implements Disposable {
	#fd: number;

	private constructor(fd: number) {
		this.#fd = fd;
	}

	/** `program` must have been loaded with `traces`. Throws SyscallError; then nothing is attached. */
	static attach(program: AttachableProgram): ExitLink {
		const { result } = bpf("BPF_RAW_TRACEPOINT_OPEN", { prog_fd: program.fd });
		return new ExitLink(check(result, `link program ${program.name} to the exit of another program`));
	}

	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}
}
