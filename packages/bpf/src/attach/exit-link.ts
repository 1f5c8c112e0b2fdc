/**
 * A program of type TRACING at the exit of another program (fexit, Linux 5.5+): it runs each time that the other one has
 * returned, and sees its argument and its verdict. For programs that only look on: nothing can stand in front of or behind
 * a program at XDP.
 */
import { closeSync } from "node:fs";
import { check } from "@l3dsr/linux";
import { bpf } from "../bpf-syscall.ts";
import { struct } from "../struct.ts";
import type { AttachableProgram } from "./hook.ts";

/** What a program at the exit of another one is called with. */
export const PROGRAM_EXIT = struct("exit", {
	/** What the other one had in r1, as the kernel has it: the address of a `struct xdp_buff`, of a `struct sk_buff`. */
	context: "u64",
	/** What it returned: an `int`, in the lower half. */
	verdict: "u64",
});

/** Held there as long as this is not disposed of, and gone with the process. */
export class ExitLink implements Disposable {
	#fd: number;

	private constructor(fd: number) {
		this.#fd = fd;
	}

	/** `program` was loaded with `traces`. Throws SyscallError; nothing is attached then. */
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
