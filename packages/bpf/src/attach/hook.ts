/** The shape that all hooks share: where a program can hang, and how it is put, exchanged, found and taken away. */

import type { NetInterface } from "@l3dsr/linux";
import type { ProgramId } from "../object-id.ts";
import type { Program } from "../program.ts";

/** The part of a program that attaching needs; the name is for messages. */
export type AttachableProgram = Pick<Program, "fd" | "name">;

/** A program as the kernel lists it at a hook. */
export interface Attached {
	readonly programId: ProgramId;
}

/**
 * One way to hang programs on an interface. Nothing is pinned and no link is made: a program stays attached when
 * the process ends, and is found again by `query`.
 *
 * Every function throws SyscallError (ENODEV when the interface is gone) or BpfError (FEATURE, HELD); the hook is then as it was.
 */
export interface Hook<A extends Attached, O = Record<string, never>> {
	/** As people read it: `tcx ingress`. */
	readonly name: string;
	/** Adds the program beside those that are there. */
	attach(to: NetInterface, program: AttachableProgram, options?: O): void;
	/**
	 * Puts the program in the place of `current`, an element of the latest `query`. Atomic: every packet meets
	 * one of the two. Fails when `current` is no longer there.
	 */
	replace(on: NetInterface, current: A, program: AttachableProgram): void;
	/** All programs here, whoever attached them, in the order in which they run. */
	query(on: NetInterface): readonly A[];
	/** Takes away `current`, an element of the latest `query`; no other program is touched. */
	detach(from: NetInterface, current: A): void;
}
