/** Detaches a program so that it can be attached again. */
import { type AttachedProgram, PLACES, withoutVanished } from "./attachment.ts";

/** Steps that undo what has been done, in the order in which it was done. */
export type Undo = (() => void)[];

/** Detaches a program of ours; does nothing if it or its interface is already gone. */
export function detachOurs({ hook, interface: on, program }: AttachedProgram, undo: Undo): void {
	withoutVanished(() => PLACES[hook].detach(on, program.info.id));
	undo.push(() => PLACES[hook].attach(on, program));
}
