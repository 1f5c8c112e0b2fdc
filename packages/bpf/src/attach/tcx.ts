/**
 * tcx (Linux 6.6+) in both directions: an ordered list of programs for each interface, with a revision
 * number.
 */

import { check, ERRNO, type IfIndex } from "@l3dsr/linux";
import { bpf, RepeatedCall } from "../bpf-syscall.ts";
import { BpfError } from "../error.ts";
import { requireFeature } from "../feature.ts";
import { programIdOf } from "../object-id.ts";
import { Program } from "../program.ts";
import { TCX_ATTACH_TYPES, type TcDirection } from "./attach-type.ts";
import type { Attached, Hook } from "./hook.ts";

const BPF_F_REPLACE = 1 << 2;
const BPF_F_BEFORE = 1 << 3;
const BPF_F_AFTER = 1 << 4;
const BPF_F_ID = 1 << 5;

/** The kernel's limit (BPF_MPROG_MAX) on programs at one hook. */
const MOST_PROGRAMS = 64;

const USE_CLSACT = "attach to clsact instead";

export interface TcxAttached extends Attached {
	/**
	 * Present if another process attached the program through a link: only the link's owner can detach or
	 * replace it.
	 */
	readonly linkId?: number;
	/** Revision of the whole list when it was read; a change can require it. */
	readonly revision: bigint;
}

export interface TcxOptions {
	/**
	 * Default `last`. A program that returns TC_ACT_OK instead of TCX_NEXT hides packets from the following
	 * programs.
	 */
	readonly position?: "first" | "last" | { readonly before: number } | { readonly after: number };
	/** Refuse (ESTALE) if the list has another revision. */
	readonly expectedRevision?: bigint;
}

/** The hook for one direction. */
function tcxHook(direction: TcDirection): Hook<TcxAttached, TcxOptions> {
	const name = `tcx ${direction}`;
	const attach_type = TCX_ATTACH_TYPES[direction];
	return {
		name,
		attach(to, program, options = {}) {
			const { flags, relative } = encodePosition(options.position ?? "last");
			const { result } = bpf("BPF_PROG_ATTACH", {
				target_ifindex: to.index,
				attach_bpf_fd: program.fd,
				attach_type,
				attach_flags: flags,
				relative_fd_or_id: relative,
				expected_revision: options.expectedRevision ?? 0n,
			});
			const doing = `attach program ${program.name} to ${name} of ${to.name}`;
			if (result === -ERRNO.EINVAL) requireFeature("tcx", doing, USE_CLSACT);
			check(result, doing);
		},
		replace(on, current, program) {
			const doing = `replace program ${current.programId} by ${program.name} at ${name} of ${on.name}`;
			refuseLinked(current, doing);
			using old = Program.open(current.programId);
			const { result } = bpf("BPF_PROG_ATTACH", {
				target_ifindex: on.index,
				attach_bpf_fd: program.fd,
				attach_type,
				attach_flags: BPF_F_REPLACE,
				replace_bpf_fd: old.fd,
			});
			check(result, doing);
		},
		query(on) {
			const programs = new Uint32Array(MOST_PROGRAMS);
			const links = new Uint32Array(MOST_PROGRAMS);
			const reply = bpf("BPF_PROG_QUERY", {
				target_ifindex: on.index,
				attach_type,
				prog_ids: new Uint8Array(programs.buffer),
				link_ids: new Uint8Array(links.buffer),
				count: MOST_PROGRAMS,
			});
			if (reply.result === -ERRNO.ENOENT) return []; // nothing was ever attached here
			const doing = `list the programs at ${name} of ${on.name}`;
			if (reply.result === -ERRNO.EINVAL) requireFeature("tcx", doing, USE_CLSACT);
			check(reply.result, doing);
			const { count, revision } = reply.attributes();
			return Array.from(programs.subarray(0, count), (id, index) => {
				const linkId = links[index];
				return { programId: programIdOf(id), revision, ...(linkId ? { linkId } : {}) };
			});
		},
		detach(from, current) {
			refuseLinked(current, `detach program ${current.programId} from ${name} of ${from.name}`);
			using program = Program.open(current.programId);
			const { result } = bpf("BPF_PROG_DETACH", {
				target_ifindex: from.index,
				attach_bpf_fd: program.fd,
				attach_type,
			});
			check(result, `detach program ${program.name} from ${name} of ${from.name}`);
		},
	};
}

export const tcxIngress: Hook<TcxAttached, TcxOptions> = tcxHook("ingress");
/** Packets that this host sends, from the network stack or a bridge, before they reach the driver's queue. */
export const tcxEgress: Hook<TcxAttached, TcxOptions> = tcxHook("egress");

/** An answer of the kernel. */
interface Listing {
	readonly result: number;
	readonly attributes: Uint8Array;
	readonly programs: Uint8Array;
}

/**
 * The list of one interface, for frequent polling at the lowest cost: the kernel sends no notification of
 * changes.
 */
export class TcxList {
	readonly #doing: string;
	readonly #call: RepeatedCall<"BPF_PROG_QUERY">;
	readonly #programs = new Uint8Array(MOST_PROGRAMS * Uint32Array.BYTES_PER_ELEMENT);
	#known: Listing;

	/** The current list is the first that {@link changed} compares with. Throws as {@link changed} does. */
	constructor(direction: TcDirection, on: { readonly index: IfIndex; readonly name: string }) {
		this.#doing = `list the programs at tcx ${direction} of ${on.name}`;
		this.#call = new RepeatedCall("BPF_PROG_QUERY", {
			target_ifindex: on.index,
			attach_type: TCX_ATTACH_TYPES[direction],
			prog_ids: this.#programs,
			count: MOST_PROGRAMS,
		});
		this.#known = this.#checked(this.#call.run());
	}

	/**
	 * Whether the list has changed since the last call, even if it has changed back. Throws SyscallError
	 * (ENODEV: the interface is gone), and BpfError (FEATURE) if the kernel has no tcx.
	 */
	changed(): boolean {
		const { result, attributes, programs } = this.#known;
		const now = this.#call.run();
		const isSame =
			now === result &&
			Buffer.compare(this.#call.bytes, attributes) === 0 &&
			Buffer.compare(this.#programs, programs) === 0;
		if (isSame) return false;
		this.#known = this.#checked(now);
		return true;
	}

	#checked(result: number): Listing {
		// Nothing was ever attached here, or the last program is gone.
		if (result !== -ERRNO.ENOENT) {
			if (result === -ERRNO.EINVAL) requireFeature("tcx", this.#doing, USE_CLSACT);
			check(result, this.#doing);
		}
		return { result, attributes: this.#call.bytes.slice(), programs: this.#programs.slice() };
	}
}

/** The kernel would answer EBUSY or ENOENT, which explains nothing. */
function refuseLinked(current: TcxAttached, doing: string): void {
	if (current.linkId === undefined) return;
	throw new BpfError("HELD", `${doing}: held by link ${current.linkId} of another process`, {
		hint: "stop the process that attached it",
	});
}

/** Flags and the program that they refer to, for BPF_PROG_ATTACH and BPF_LINK_CREATE. */
export function encodePosition(position: NonNullable<TcxOptions["position"]>): {
	readonly flags: number;
	readonly relative: number;
} {
	if (position === "first") return { flags: BPF_F_BEFORE, relative: 0 };
	if (position === "last") return { flags: BPF_F_AFTER, relative: 0 };
	if ("before" in position) return { flags: BPF_F_BEFORE | BPF_F_ID, relative: position.before };
	return { flags: BPF_F_AFTER | BPF_F_ID, relative: position.after };
}
