/**
 * tcx through a bpf link (Linux 6.6+): the program stays attached while a process holds the link's
 * descriptor, and is detached when that process ends in any way. For programs that only observe.
 */

import { closeSync } from "node:fs";
import { check, ERRNO, type NetInterface } from "@l3dsr/linux";
import { bpf } from "../bpf-syscall.ts";
import { requireFeature } from "../feature.ts";
import { TCX_ATTACH_TYPES, type TcDirection } from "./attach-type.ts";
import type { AttachableProgram } from "./hook.ts";
import { encodePosition, type TcxOptions } from "./tcx.ts";

export interface TcxLinkOptions extends TcxOptions {
	/** Default `ingress`. */
	readonly direction?: TcDirection;
}

/** A program that a link attaches to tcx of one interface. Disposal detaches it. */
export class TcxLink implements Disposable {
	#fd: number;

	private constructor(fd: number) {
		this.#fd = fd;
	}

	/** Throws SyscallError or BpfError (FEATURE); then nothing is attached. */
	static attach(to: NetInterface, program: AttachableProgram, options: TcxLinkOptions = {}): TcxLink {
		const { direction = "ingress" } = options;
		const { flags, relative } = encodePosition(options.position ?? "last");
		const { result } = bpf("BPF_LINK_CREATE", {
			prog_fd: program.fd,
			target_ifindex: to.index,
			attach_type: TCX_ATTACH_TYPES[direction],
			flags,
			relative_fd_or_id: relative,
			expected_revision: options.expectedRevision ?? 0n,
		});
		const doing = `link program ${program.name} to tcx ${direction} of ${to.name}`;
		if (result === -ERRNO.EINVAL) requireFeature("tcx", doing);
		return new TcxLink(check(result, doing));
	}

	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}
}
