/** Collects the instructions of a program in steps: each has a comment for the listing and the verifier's log. */
import type { Instruction } from "../../bpf/asm/index.ts";
import { type Line, tidy } from "../../bpf/builder/tidy.ts";

export class Code {
	readonly #lines: Line[] = [];
	/** Of the next instruction. */
	#labels: string[] = [];
	#fresh = 0;

	/** What happens next, and the instructions that do it. */
	step(comment: string, ...instructions: readonly Instruction[]): void {
		for (const instruction of instructions) {
			this.#lines.push({ instruction, comment, labels: this.#labels });
			this.#labels = [];
		}
	}

	/** Gives the next instruction this label. */
	label(name: string): void {
		this.#labels.push(name);
	}

	/** A label that no other place has. */
	fresh(stem: string): string {
		this.#fresh++;
		return `${stem}_${this.#fresh}`;
	}

	/** Every instruction so far, in order, without jumps to jumps and what is never reached. */
	finish(): readonly Instruction[] {
		const [dangling] = this.#labels;
		if (dangling !== undefined) throw new Error(`label ${dangling} stands behind the last instruction`);
		return tidy(this.#lines);
	}
}
