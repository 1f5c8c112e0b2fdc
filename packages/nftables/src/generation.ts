/** Generations of a network namespace's ruleset. */

/** A transaction of this process, and no other between the two generations. */
export interface GenerationStep {
	readonly before: number;
	readonly after: number;
}

/** The kernel counts each transaction and skips 0 (nf_tables_commit). */
export function nextGeneration(generation: number): number {
	return (generation + 1) >>> 0 || 1;
}
