/** Attaches a program. */
import type { Program } from "@l3dsr/bpf";
import type { NetInterface } from "@l3dsr/linux";
import { attachAtFirst, type HookName, PLACES } from "../../rewrite/ebpf/kernel/attachment.ts";
import { refuseTakenXdp } from "../../rewrite/ebpf/kernel/taken-xdp.ts";
import type { ProgramSettings } from "../compile/about.ts";
import type { Attachment } from "./attachments.ts";

export function attachmentAt(
	hook: HookName,
	on: NetInterface,
	program: Program,
	settings: ProgramSettings,
): Attachment {
	return {
		hook,
		interface: on,
		program,
		settings,
		behind: [],
		[Symbol.dispose]: () => program[Symbol.dispose](),
	};
}

/** Our programs at an interface: the one at the wanted hook, and any at other hooks. */
export interface ProgramsAt {
	readonly current: Attachment | undefined;
	readonly elsewhere: readonly Attachment[];
}

/**
 * An interface has one XDP program, native or generic, so a program of ours in the other mode is detached first. For
 * that moment the kernel gets the packets for the VIPs.
 */
function detachOtherMode(
	on: NetInterface,
	{ hook, program }: Attachment,
	wanted: HookName,
	undo: (() => void)[],
): void {
	if (PLACES[wanted].program !== "xdp" || PLACES[hook].program !== "xdp") return;
	PLACES[hook].detach(on, program.info.id);
	undo.push(() => PLACES[hook].attach(on, program));
}

/** Attaches the program in place of `current` (in front, if others are before that), or where none of ours is. Adds to `undo` the step that reverses it. */
export function attach(
	on: NetInterface,
	program: Program,
	{ current, elsewhere }: ProgramsAt,
	places: readonly [HookName, ...HookName[]],
	undo: (() => void)[],
): HookName {
	const { id } = program.info;
	if (current !== undefined && current.behind.length > 0) {
		// The old program must not see what the new one has rewritten: it could take it for a packet from outside.
		const place = PLACES[current.hook];
		place.detach(on, current.program.info.id);
		undo.push(() => place.attach(on, current.program));
		place.attach(on, program);
		undo.push(() => place.detach(on, id));
		return current.hook;
	}
	if (current !== undefined) {
		const place = PLACES[current.hook];
		place.replace(on, current.program.info.id, program);
		undo.push(() => place.replace(on, id, current.program));
		return current.hook;
	}
	for (const other of elsewhere) detachOtherMode(on, other, places[0], undo);
	refuseTakenXdp(on, places[0], "the director");
	const hook = attachAtFirst(places, on, program);
	undo.push(() => PLACES[hook].detach(on, id));
	return hook;
}
