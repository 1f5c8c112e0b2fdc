/**
 * What a process that lives long remembers of our programs: the rules that they carry, which are read and parsed once, and
 * the programs themselves. One that somebody has detached, or whose interface has gone, is kept open, so that it can be
 * attached again, counters and all, without being compiled and verified once more. The kernel stays the only state: this
 * saves time, and may be lost.
 */
import { Program, type ProgramId } from "@l3dsr/bpf";
import type { NetInterface } from "@l3dsr/linux";
import { CodeMemory } from "../compile/code-memory.ts";
import type { InterfaceRules } from "../compile/interface-rules.ts";
import { Attachment, type HookName } from "./attachment.ts";

interface Remembered {
	/** Open, so that its id belongs to no other program. */
	readonly program: Program;
	readonly rules: InterfaceRules;
	readonly hook: HookName;
	/** Where it stood last. */
	readonly on: NetInterface;
}

/** Interfaces that come and go are remembered up to so many. */
const MOST_DETACHED = 16;

export class ProgramMemory implements Disposable {
	readonly code = new CodeMemory();
	/** What was met last is last. */
	readonly #known = new Map<ProgramId, Remembered>();
	#attached: ReadonlySet<ProgramId> = new Set();
	/** Attached when a change of ours began. */
	#changed: ReadonlySet<ProgramId> = new Set();

	/** Of a program that has been met before. */
	rulesOf(id: ProgramId): InterfaceRules | undefined {
		return this.#known.get(id)?.rules;
	}

	/** These are attached now, and no others. */
	note(attachments: readonly Attachment[]): void {
		this.#attached = new Set(attachments.map(({ program }) => program.info.id));
		const places = new Set(attachments.map(({ interface: on }) => on.name));
		// We have taken it away ourselves, or another program of ours stands in its place.
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
	 * What stood on an interface of this name and kind before it was detached, opened anew: the caller disposes of it. It is
	 * attached nowhere.
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

	/** A change of ours is about to be made: what it takes away is not to come back. */
	beginChange(): void {
		this.#changed = this.#attached;
	}

	/** Something else is wanted from now on. */
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
