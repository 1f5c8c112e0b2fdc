/** The interface that all hooks share: attach, replace, find and detach programs. */

import type { NetInterface } from "@l3dsr/linux";
import type { ProgramId } from "../object-id.ts";
import type { Program } from "../program.ts";

/** The part of a program that attaching needs; messages use the name. */
export type AttachableProgram = Pick<Program, "fd" | "name">;

/** A program as the kernel lists it at a hook. */
export interface Attached {
	readonly programId: ProgramId;
}

/**
 * A place where programs can be attached to an interface. Nothing is pinned and no link is created: a program
 * stays attached when the process ends, and `query` finds it again.
 *
 * Every function throws SyscallError (ENODEV if the interface is gone) or BpfError (FEATURE, HELD), and then
 * changes nothing.
 */
export interface Hook<A extends Attached, O = Record<string, never>> {
	/** The name for messages: `tcx ingress`. */
	readonly name: string;
	/** Adds the program to those that are attached. */
	attach(to: NetInterface, program: AttachableProgram, options?: O): void;
	/**
	 * Replaces `current`, an element of the latest `query`. Atomic: every packet passes one of the two
	 * programs. Fails if `current` is no longer attached.
	 */
	replace(on: NetInterface, current: A, program: AttachableProgram): void;
	/** All attached programs of any owner, in the order in which they run. */
	query(on: NetInterface): readonly A[];
	/** Detaches `current`, an element of the latest `query`, and no other program. */
	detach(from: NetInterface, current: A): void;
}
