/**
 * The ground of the builder: instructions with the comment in force, labels with the flow that reaches them,
 * and nothing emitted where nothing can arrive.
 */

import { buildError, type Instruction, type Register } from "../asm/instruction.ts";
import { exit, ja } from "../asm/jump.ts";
import { Flow } from "./flow.ts";
import { type Line, tidy } from "./tidy.ts";
import type { Value } from "./value.ts";

/** A place in the program that jumps can go to; placed once, before or after them. */
export class Label {
	readonly name: string;
	/** What holds along every jump so far. */
	incoming: Flow | undefined;
	/** What held when it was placed: what a jump back has to bring. */
	placed: Flow | undefined;
	isPlaced = false;
	isTarget = false;

	constructor(name: string) {
		this.name = name;
	}
}

/** `all values`: also those whose scope has ended, for code written before that (asides). */
type Keeps = "values in scope" | "all values" | "nothing";

export class Emitter {
	readonly programName: string;
	/** Undefined where no path arrives: what is emitted there is dropped. */
	flow: Flow | undefined = new Flow();
	/** The stack pointer, and nothing else. */
	readonly bare = new Flow();
	readonly #lines: Line[] = [];
	readonly #labels: Label[] = [];
	/** Names of labels, with the last number that was put behind each. */
	readonly #labelNames = new Map<string, number>();
	readonly #asides: (() => void)[] = [];
	#held: ReadonlySet<Value> = new Set();
	#pending: string[] = [];
	#comment: string | undefined;

	constructor(programName: string) {
		this.programName = programName;
	}

	/** An error that says where in the program. */
	error(message: string, hint?: string): Error {
		const where = this.#comment === undefined ? "" : ` ("${this.#comment}")`;
		return buildError(`build program ${this.programName}${where}: ${message}`, hint);
	}

	comment(text: string | undefined): void {
		this.#comment = text;
	}

	/** Writes `body` behind everything else, with the comment that is in force now. */
	aside(body: () => void): void {
		const comment = this.#comment;
		this.#asides.push(() => {
			this.#comment = comment;
			body();
		});
	}

	/** Writes what was put aside, and what that put aside. The path before must have ended. */
	writeAsides(): void {
		for (let next = this.#asides.shift(); next !== undefined; next = this.#asides.shift()) {
			if (this.flow !== undefined)
				throw this.error("the program can run into its asides", "end every path with exit");
			next();
			this.#held = new Set();
		}
	}

	/** In an aside: values whose scope has ended by now are those of the place that it goes back to, and stay. */
	holdEnded(): void {
		this.#held = new Set(this.flow?.ended());
	}

	/** Runs `body`; the comment that was in force is in force again afterwards. */
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

	/** A new label; its name gets a number where it is taken. */
	label(name: string): Label {
		let [unique, n] = [name, this.#labelNames.get(name) ?? 1];
		while (this.#labelNames.has(unique)) unique = `${name}.${++n}`;
		this.#labelNames.set(unique, 1);
		this.#labelNames.set(name, n);
		const label = new Label(unique);
		this.#labels.push(label);
		return label;
	}

	/** What stays in registers at the label: all that `keeps` says and every path there has. */
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
			// Asides may still come here, and with them this is not the end of every path.
			this.flow ??= this.bare.clone();
		}
		if (this.flow === undefined) return;
		if (keeps === "values in scope") this.flow.releaseEnded(this.#held);
		label.placed = this.flow.clone();
		this.#pending.push(label.name);
	}

	/** Notes that the jump just emitted goes to `label` with the present flow. */
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

	/** The register that `value` is in, to read it. Throws BpfError (BUILD) when it is lost or unset. */
	read(value: Value): Register {
		const register = this.write(value);
		if (this.flow !== undefined && !this.flow.isAssigned(value))
			throw this.error(`${value.name} is read before it is set`);
		return register;
	}

	/** The register that `value` is in, to write it. */
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

	/** The instructions, tidied. Throws BpfError (BUILD) for an open end or a label never placed. */
	finish(): readonly Instruction[] {
		if (this.flow !== undefined)
			throw this.error("the program can run past its end", "end every path with exit");
		const open = this.#labels.find((label) => label.isTarget && !label.isPlaced);
		if (open !== undefined) throw this.error(`label ${open.name} is jumped to and never placed`);
		return tidy(this.#lines);
	}
}
