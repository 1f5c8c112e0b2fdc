/** What is said of a target beside who answered. Pure. */
export interface Explanation {
	/** Observed facts. */
	readonly found: readonly string[];
	/** What is probably wrong, the likeliest first. */
	readonly causes: readonly string[];
	/** What to do next. */
	readonly next: readonly string[];
}

export const NOTHING: Explanation = { found: [], causes: [], next: [] };

/** One after the other. */
export function joined(...parts: readonly Explanation[]): Explanation {
	return {
		found: parts.flatMap(({ found }) => found),
		causes: parts.flatMap(({ causes }) => causes),
		next: parts.flatMap(({ next }) => next),
	};
}
