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
	/** Programs of others that run before it at its hook, such as `other (id 5)`; they may withhold packets from it. */
	readonly behind: readonly string[];
}

/** All attachments, by interface; the caller disposes of each. Throws KERNEL_*. */
export function findAttachments(interfaces = listInterfaces()): readonly Attachment[] {
	const found: Attachment[] = [];
	try {
		for (const on of interfaces) {
			for (const hook of HOOK_NAMES) {
				if (!on.xdp && PLACES[hook].program === "xdp") continue;
				const others: string[] = [];
				for (const id of withoutVanished(() => PLACES[hook].query(on)) ?? []) {
					const program = withoutVanished(() => Program.open(id));
					if (program === undefined) continue;
					if (isDirectorProgram(program.name)) found.push(attachmentOf(hook, on, program, [...others]));
					else {
						if (!program.name.startsWith(OWN_PREFIX)) others.push(`${program.name} (id ${id})`);
						program[Symbol.dispose]();
					}
				}
			}
		}
		return found;
	} catch (error) {
		for (const one of found) one[Symbol.dispose]();
		throw error;
	}
}

/** Other programs of ours pass on every packet that is for the director. */
const OWN_PREFIX = "l3dsr_";

function attachmentOf(
	hook: HookName,
	on: NetInterface,
	program: Program,
	behind: readonly string[],
): Attachment {
	const settings = settingsOf(program);
	return {
		hook,
		interface: on,
		program,
		behind,
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
