/** Collects the instructions of a program in steps: each has a comment for the listing and the verifier's log. */
import type { Instruction } from "../../bpf/asm/index.ts";

export class Code {
	readonly #instructions: Instruction[] = [];
	/** label → the label that stands at the same instruction. */
	readonly #aliases = new Map<string, string>();
	#label: string | undefined;
	#labels = 0;

	/** What happens next, and the instructions that do it. */
	step(comment: string, ...instructions: readonly Instruction[]): void {
		instructions.forEach((instruction, index) => {
			const symbol = index === 0 ? this.#takeLabel() : undefined;
			this.#instructions.push({
				...instruction,
				...(index === 0 ? { comment } : {}),
				...(symbol === undefined ? {} : { symbol }),
			});
		});
	}

	/** Gives the next instruction this label. Of several labels in one place the first is listed. */
	label(name: string): void {
		if (this.#label === undefined) this.#label = name;
		else this.#aliases.set(name, this.#label);
	}

	/** A label that no other place has. */
	fresh(stem: string): string {
		this.#labels++;
		return `${stem}_${this.#labels}`;
	}

	/** Every instruction so far, in order. */
	finish(): readonly Instruction[] {
		if (this.#label !== undefined) throw new Error(`label ${this.#label} stands behind the last instruction`);
		return this.#instructions.map((instruction) => {
			const target = instruction.target === undefined ? undefined : this.#aliases.get(instruction.target);
			return target === undefined ? instruction : { ...instruction, target };
		});
	}

	#takeLabel(): string | undefined {
		const label = this.#label;
		this.#label = undefined;
		return label;
	}
}
