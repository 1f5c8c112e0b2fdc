/** Attaches a program. */
import type { Program } from "@l3dsr/bpf";
import type { NetInterface } from "@l3dsr/linux";
import { attachAtFirst, type HookName, PLACES } from "../../rewrite/ebpf/kernel/attachment.ts";
import { detachOurs, type Undo } from "../../rewrite/ebpf/kernel/detach.ts";
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
function detachOtherMode(other: Attachment, wanted: HookName, undo: Undo): void {
	if (PLACES[wanted].program === "xdp" && PLACES[other.hook].program === "xdp") detachOurs(other, undo);
}

/**
 * Attaches the program: in place of `current`, in front of the others if they run before `current`, or where none of ours
 * is. Adds to `undo` what reverses it. Between detaching and attaching, the kernel gets the packets for the VIPs.
 */
export function attach(
	on: NetInterface,
	program: Program,
	{ current, elsewhere }: ProgramsAt,
	places: readonly [HookName, ...HookName[]],
	undo: Undo,
): HookName {
	const { id } = program.info;
	if (current !== undefined && current.behind.length === 0) {
		const place = PLACES[current.hook];
		place.replace(on, current.program.info.id, program);
		undo.push(() => place.replace(on, id, current.program));
		return current.hook;
	}
	// The old program must not see what the new one has rewritten: it could take it for a packet from outside.
	if (current !== undefined) detachOurs(current, undo);
	else {
		for (const other of elsewhere) detachOtherMode(other, places[0], undo);
		refuseTakenXdp(on, places[0], "the director");
	}
	const hook = attachAtFirst(current === undefined ? places : [current.hook], on, program);
	undo.push(() => PLACES[hook].detach(on, id));
	return hook;
}
