/** Detaches a program so that it can be attached again. */
import { PLACES, type Standing, withoutVanished } from "./attachment.ts";

/** Steps that undo what has been done, in the order in which it was done. */
export type Undo = (() => void)[];

/** Detaches a program of ours; does nothing if it or its interface is already gone. */
export function takeAway({ hook, interface: on, program }: Standing, undo: Undo): void {
	withoutVanished(() => PLACES[hook].detach(on, program.info.id));
	undo.push(() => PLACES[hook].attach(on, program));
}
