import { type Diagnostic, type ErrorCode, L3dsrError, type Position } from "../errors.ts";

/** Collects what is wrong with a text, so that a person sees all of it at once. */
export class Problems {
	readonly #found: Diagnostic[] = [];

	/** Always undefined, so that a parser can `return problems.add(…)`. */
	add(code: ErrorCode, message: string, position?: Position, hint?: string): undefined {
		this.#found.push({
			code,
			message,
			...(position === undefined ? {} : { position }),
			...(hint === undefined ? {} : { hint }),
		});
	}

	get count(): number {
		return this.#found.length;
	}

	/** Throws one L3dsrError with everything found, in order of position; returns when there is nothing. */
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
		const [first, ...rest] = sorted;
		if (first !== undefined) throw new L3dsrError([first, ...rest]);
	}
}
