/** What is reported about a target besides who answered. Pure. */
export interface Explanation {
	/** Observed facts. */
	readonly found: readonly string[];
	/** What is probably wrong, the most likely cause first. */
	readonly causes: readonly string[];
	/** What to do next. */
	readonly next: readonly string[];
}

export const NOTHING: Explanation = { found: [], causes: [], next: [] };

/** The parts in order, as one. */
export function joined(...parts: readonly Explanation[]): Explanation {
	return {
		found: parts.flatMap(({ found }) => found),
		causes: parts.flatMap(({ causes }) => causes),
		next: parts.flatMap(({ next }) => next),
	};
}
