/**
 * What a long-running process remembers of our programs: their rules, read and parsed once, and the programs
 * themselves. A program that was detached, or whose interface is gone, is kept open, so that it can be attached again
 * with its counters, without being compiled and verified again. The kernel still holds all state; this only saves
 * time and may be lost.
 */
import { Program, type ProgramId } from "@l3dsr/bpf";
import type { NetInterface } from "@l3dsr/linux";
import { CodeMemory } from "../compile/code-memory.ts";
import type { InterfaceRules } from "../compile/interface-rules.ts";
import { Attachment, type HookName } from "./attachment.ts";

interface Remembered {
	/** Kept open, so that its id is not reused. */
	readonly program: Program;
	readonly rules: InterfaceRules;
	readonly hook: HookName;
	/** Where it was attached last. */
	readonly on: NetInterface;
}

/** The most detached programs kept, since interfaces may come and go. */
const MOST_DETACHED = 16;

export class ProgramMemory implements Disposable {
	readonly code = new CodeMemory();
	/** In order of use, the latest last. */
	readonly #known = new Map<ProgramId, Remembered>();
	#attached: ReadonlySet<ProgramId> = new Set();
	/** Programs attached when our latest change began. */
	#changed: ReadonlySet<ProgramId> = new Set();

	/** The rules of a known program. */
	rulesOf(id: ProgramId): InterfaceRules | undefined {
		return this.#known.get(id)?.rules;
	}

	/** Notes that exactly these are attached now. */
	note(attachments: readonly Attachment[]): void {
		this.#attached = new Set(attachments.map(({ program }) => program.info.id));
		const places = new Set(attachments.map(({ interface: on }) => on.name));
		// We detached it ourselves, or another program of ours has replaced it.
		this.#forget((id, { on }) => !this.#attached.has(id) && (this.#changed.has(id) || places.has(on.name)));
		this.#changed = new Set();
		for (const { program, rules, hook, interface: on } of attachments) {
			const { id } = program.info;
			const known = this.#known.get(id);
			if (known !== undefined) this.#known.delete(id);
			this.#known.set(id, { program: known?.program ?? Program.open(id), rules, hook, on });
		}
		const detached = [...this.#known.keys()].filter((id) => !this.#attached.has(id));
		const oldest = new Set(detached.slice(0, Math.max(0, detached.length - MOST_DETACHED)));
		this.#forget((id) => oldest.has(id));
	}

	/**
	 * The program that was detached from an interface of this name and kind, opened again; the caller disposes of it.
	 * It is attached nowhere.
	 */
	detachedFrom(on: NetInterface): Attachment | undefined {
		const found = [...this.#known].findLast(
			([id, known]) =>
				!this.#attached.has(id) && known.on.name === on.name && known.on.ethernet === on.ethernet,
		);
		if (found === undefined) return undefined;
		const [id, { hook, rules }] = found;
		const program = Program.open(id);
		try {
			return new Attachment({ hook, interface: on, program }, false, rules);
		} catch (error) {
			program[Symbol.dispose]();
			throw error;
		}
	}

	/** Call it before a change of ours, so that what the change detaches is not attached again. */
	beginChange(): void {
		this.#changed = this.#attached;
	}

	/** Forgets the detached programs, because other rules are wanted from now on. */
	forgetDetached(): void {
		this.#forget((id) => !this.#attached.has(id));
	}

	[Symbol.dispose](): void {
		this.#forget(() => true);
	}

	#forget(isMeant: (id: ProgramId, known: Remembered) => boolean): void {
		for (const [id, known] of this.#known) {
			if (!isMeant(id, known)) continue;
			this.#known.delete(id);
			known.program[Symbol.dispose]();
		}
	}
}
