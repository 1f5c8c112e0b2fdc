import { type Diagnostic, type ErrorCode, L3dsrError, type Position } from "../errors.ts";
import { LIMITS } from "./limits.ts";

/** Collects the faults of a text, so that a person sees all of them at once. */
export class Problems {
	readonly #found: Diagnostic[] = [];
	#count = 0;

	/** Always returns undefined, so that a parser can `return problems.add(…)`. */
	add(code: ErrorCode, message: string, position?: Position, hint?: string): undefined {
		this.#count++;
		if (this.full) return;
		this.#found.push({
			code,
			message,
			...(position === undefined ? {} : { position }),
			...(hint === undefined ? {} : { hint }),
		});
	}

	get count(): number {
		return this.#count;
	}

	/** True if no more are shown: further ones are only counted, and reading may stop. */
	get full(): boolean {
		return this.#found.length >= LIMITS.problems;
	}

	/** Throws one L3dsrError with all problems, in order of position; returns if there are none. */
	throwIfAny(): void {
		const sorted = this.#found
			.map((diagnostic, order) => ({ diagnostic, order }))
			.sort((a, b) => {
				const p = a.diagnostic.position;
				const q = b.diagnostic.position;
				if (p === undefined || q === undefined) return a.order - b.order;
				return p.line - q.line || p.column - q.column || a.order - b.order;
			})
			.map(({ diagnostic }) => diagnostic);
		const [first, ...rest] = withMoreNote(sorted, this.full);
		if (first !== undefined) throw new L3dsrError([first, ...rest]);
	}
}

/** `diagnostics`, with a note on the last one if there may be more. */
export function withMoreNote(diagnostics: readonly Diagnostic[], more: boolean): Diagnostic[] {
	const last = diagnostics.at(-1);
	if (!more || last === undefined) return [...diagnostics];
	const note = `these are the first ${LIMITS.problems} problems; there may be more`;
	return [...diagnostics.slice(0, -1), { ...last, notes: [...(last.notes ?? []), note] }];
}
