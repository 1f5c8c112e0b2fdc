/** Finds the director's programs in the kernel, at the hooks of every interface, without pins or files. */
import { arrayKey, type BpfMap, Program } from "@l3dsr/bpf";
import { listInterfaces, type NetInterface } from "@l3dsr/linux";
import { isDirectorProgram } from "../../programs/director-program.ts";
import { HOOK_NAMES, type HookName, PLACES, withoutVanished } from "../../rewrite/ebpf/kernel/attachment.ts";
import { decodeAbout, type ProgramSettings } from "../compile/about.ts";
import { ABOUT_MAP } from "../tables/layout.ts";

/** An attached program of ours. Owns its descriptor. */
export interface Attachment extends Disposable {
	readonly hook: HookName;
	readonly interface: NetInterface;
	readonly program: Program;
	/** What it was compiled for; undefined if another version made it. */
	readonly settings?: ProgramSettings;
}

/** All attachments, by interface; the caller disposes of each. Throws KERNEL_*. */
export function findAttachments(interfaces = listInterfaces()): readonly Attachment[] {
	const found: Attachment[] = [];
	try {
		for (const on of interfaces) {
			for (const hook of HOOK_NAMES) {
				if (!on.xdp && PLACES[hook].program === "xdp") continue;
				for (const id of withoutVanished(() => PLACES[hook].query(on)) ?? []) {
					const program = withoutVanished(() => Program.open(id));
					if (program === undefined) continue;
					if (!isDirectorProgram(program.name)) program[Symbol.dispose]();
					else found.push(attachmentOf(hook, on, program));
				}
			}
		}
		return found;
	} catch (error) {
		for (const one of found) one[Symbol.dispose]();
		throw error;
	}
}

function attachmentOf(hook: HookName, on: NetInterface, program: Program): Attachment {
	const settings = settingsOf(program);
	return {
		hook,
		interface: on,
		program,
		...(settings === undefined ? {} : { settings }),
		[Symbol.dispose]: () => program[Symbol.dispose](),
	};
}

function settingsOf(program: Program): ProgramSettings | undefined {
	const maps = program.openMaps();
	try {
		const about = maps.find(({ info }) => info.name === ABOUT_MAP)?.lookup(arrayKey(0));
		return about === undefined ? undefined : decodeAbout(about);
	} finally {
		for (const map of maps) map[Symbol.dispose]();
	}
}

/** The program's maps, to pass to {@link SharedTables.open}. */
export function mapsOf({ program }: Attachment): readonly BpfMap[] {
	return program.openMaps();
}
