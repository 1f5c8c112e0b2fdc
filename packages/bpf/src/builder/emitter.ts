/**
 * The base of the builder: emits instructions under the current comment, tracks the flow that reaches each
 * label, and drops code that no path reaches.
 */

import { buildError, type Instruction, type Register } from "../asm/instruction.ts";
import { exit, ja } from "../asm/jump.ts";
import { Flow } from "./flow.ts";
import { type Line, tidy } from "./tidy.ts";
import type { Value } from "./value.ts";

/** A place that jumps can go to, from before or after it. It is placed once. */
export class Label {
	readonly name: string;
	/** The flow that holds along every jump so far. */
	incoming: Flow | undefined;
	/** The flow when it was placed: a jump back must satisfy it. */
	placed: Flow | undefined;
	isPlaced = false;
	isTarget = false;

	constructor(name: string) {
		this.name = name;
	}
}

/** `all values`: also those whose scope has ended, for code that was written earlier (asides). */
type Keeps = "values in scope" | "all values" | "nothing";

export class Emitter {
	readonly programName: string;
	/** Undefined if no path arrives here: emitted code is then dropped. */
	flow: Flow | undefined = new Flow();
	/** Only the stack pointer. */
	readonly bare = new Flow();
	readonly #lines: Line[] = [];
	readonly #labels: Label[] = [];
	/** Names of labels with the last number that was appended to each. */
	readonly #labelNames = new Map<string, number>();
	readonly #asides: (() => void)[] = [];
	#held: ReadonlySet<Value> = new Set();
	#pending: string[] = [];
	#comment: string | undefined;

	constructor(programName: string) {
		this.programName = programName;
	}

	/** An error with its place in the program. */
	error(message: string, hint?: string): Error {
		const where = this.#comment === undefined ? "" : ` ("${this.#comment}")`;
		return buildError(`build program ${this.programName}${where}: ${message}`, hint);
	}

	comment(text: string | undefined): void {
		this.#comment = text;
	}

	/** Emits `body` at the end of the program, under the current comment. */
	aside(body: () => void): void {
		const comment = this.#comment;
		this.#asides.push(() => {
			this.#comment = comment;
			body();
		});
	}

	/** Emits the asides, including those that asides add. The path before them must have ended. */
	writeAsides(): void {
		for (let next = this.#asides.shift(); next !== undefined; next = this.#asides.shift()) {
			if (this.flow !== undefined)
				throw this.error("the program can run into its asides", "end every path with exit");
			next();
			this.#held = new Set();
		}
	}

	/** In an aside, values whose scope has ended by now belong to the code that it returns to, and stay. */
	holdEnded(): void {
		this.#held = new Set(this.flow?.ended());
	}

	/** Runs `body`, and restores the current comment afterwards. */
	scoped(body: () => void): void {
		const outer = this.#comment;
		body();
		this.#comment = outer;
	}

	emit(instruction: Instruction, note?: string): void {
		if (this.flow === undefined) return;
		this.#lines.push({
			instruction: { ...instruction, ...(note === undefined ? {} : { note }) },
			comment: this.#comment,
			labels: this.#pending,
		});
		this.#pending = [];
	}

	/** A new label; a number is appended to a name that is taken. */
	label(name: string): Label {
		let [unique, n] = [name, this.#labelNames.get(name) ?? 1];
		while (this.#labelNames.has(unique)) unique = `${name}.${++n}`;
		this.#labelNames.set(unique, 1);
		this.#labelNames.set(name, n);
		const label = new Label(unique);
		this.#labels.push(label);
		return label;
	}

	/** Registers at the label hold what `keeps` allows and every path has. */
	place(label: Label, keeps: Keeps = "values in scope"): void {
		if (label.isPlaced) throw this.error(`label ${label.name} is placed twice`);
		label.isPlaced = true;
		if (label.incoming !== undefined) {
			const merged = label.incoming;
			if (this.flow !== undefined) merged.meet(this.flow, label.name);
			this.flow = merged;
		}
		if (keeps === "nothing") {
			this.flow?.loseAll(`nothing is kept at ${label.name}`);
			// Asides may still jump here, so this is not the end of every path.
			this.flow ??= this.bare.clone();
		}
		if (this.flow === undefined) return;
		if (keeps === "values in scope") this.flow.releaseEnded(this.#held);
		label.placed = this.flow.clone();
		this.#pending.push(label.name);
	}

	/** Records that the jump just emitted goes to `label` with the current flow. */
	arrive(label: Label): void {
		if (this.flow === undefined) return;
		label.isTarget = true;
		if (label.isPlaced) {
			const lack = label.placed === undefined ? "nothing arrives there" : this.flow.lackOf(label.placed);
			if (lack !== undefined) {
				throw this.error(
					`jump back to ${label.name}: ${lack}`,
					"keep what a call in the loop loses, or end its scope before",
				);
			}
		} else if (label.incoming === undefined) {
			label.incoming = this.flow.clone();
		} else {
			label.incoming.meet(this.flow, label.name);
		}
	}

	goto(label: Label): void {
		this.emit(ja(label.name));
		this.arrive(label);
		this.flow = undefined;
	}

	exit(): void {
		this.emit(exit());
		this.flow = undefined;
	}

	/** The register of `value`, for reading. Throws BpfError (BUILD) if the value is lost or unset. */
	read(value: Value): Register {
		const register = this.write(value);
		if (this.flow !== undefined && !this.flow.isAssigned(value))
			throw this.error(`${value.name} is read before it is set`);
		return register;
	}

	/** The register of `value`, for writing. */
	write(value: Value): Register {
		if (this.flow === undefined) return 0;
		const register = this.flow.find(value);
		if (register === undefined) {
			throw this.error(
				`${value.name} is no longer in a register: ${value.lostBecause ?? "its scope has ended"}`,
			);
		}
		return register;
	}

	/**
	 * The tidied instructions. Throws BpfError (BUILD) for a path without an end or a label that was never
	 * placed.
	 */
	finish(): readonly Instruction[] {
		if (this.flow !== undefined)
			throw this.error("the program can run past its end", "end every path with exit");
		const open = this.#labels.find((label) => label.isTarget && !label.isPlaced);
		if (open !== undefined) throw this.error(`label ${open.name} is jumped to and never placed`);
		return tidy(this.#lines);
	}
}
