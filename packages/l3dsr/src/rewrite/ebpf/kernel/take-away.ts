/** Taking a program away from its interface, so that it can be put back. */
import { PLACES, type Standing, withoutVanished } from "./attachment.ts";

/** Steps that take back what has been done, in the order in which it was done. */
export type Undo = (() => void)[];

/** Detaches a program of ours, or finds it gone, with its interface perhaps. */
export function takeAway({ hook, interface: on, program }: Standing, undo: Undo): void {
	withoutVanished(() => PLACES[hook].detach(on, program.info.id));
	undo.push(() => PLACES[hook].attach(on, program));
}
