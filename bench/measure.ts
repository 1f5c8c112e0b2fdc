/** Interleaved measuring: A B C A B C …, so that other work on the machine affects all of them alike. */

/** Something that can be measured repeatedly. */
export interface Candidate {
	readonly name: string;
	/** One sample, in the unit of the whole comparison. */
	measure(): number | Promise<number>;
}

export interface Effort {
	/** Each round gives one figure per candidate; the report shows their spread. */
	readonly rounds: number;
	/** Samples of each candidate in a round. */
	readonly samples: number;
	/** Start with an uncounted sample of each (default true). */
	readonly warmUp?: boolean;
}

/** One figure per round. */
export type Series = readonly number[];

export interface Spread {
	readonly median: number;
	readonly min: number;
	readonly max: number;
}

export async function interleave(
	candidates: readonly Candidate[],
	effort: Effort,
): Promise<Map<string, Series>> {
	if (effort.warmUp ?? true) for (const candidate of candidates) await candidate.measure();
	const series = new Map(candidates.map(({ name }) => [name, [] as number[]]));
	for (let round = 0; round < effort.rounds; round++) {
		const samples = new Map(candidates.map(({ name }) => [name, [] as number[]]));
		for (let sample = 0; sample < effort.samples; sample++) {
			for (const { name, measure } of candidates) samples.get(name)?.push(await measure());
		}
		for (const [name, values] of samples) series.get(name)?.push(midmean(values));
	}
	return series;
}

/** The mean of the middle half: ignores samples that an interrupt or another process has disturbed. */
export function midmean(values: Series): number {
	const sorted = [...values].sort((a, b) => a - b);
	const cut = Math.floor(sorted.length / 4);
	const middle = sorted.slice(cut, sorted.length - cut);
	return middle.reduce((sum, value) => sum + value, 0) / middle.length;
}

export function spreadOf(series: Series): Spread {
	const sorted = [...series].sort((a, b) => a - b);
	const [first] = sorted;
	if (first === undefined) throw new RangeError("no rounds to summarise");
	const middle = sorted.length / 2;
	const low = sorted[Math.ceil(middle) - 1] ?? first;
	const high = sorted[Math.floor(middle)] ?? first;
	return { median: (low + high) / 2, min: first, max: sorted.at(-1) ?? first };
}

/** Combines the series round by round, which cancels what `a` and `b` have in common, including noise. */
export function paired(a: Series, b: Series, combine: (a: number, b: number) => number): Series {
	if (a.length !== b.length) throw new RangeError("series of different rounds cannot be paired");
	return a.map((value, round) => combine(value, b[round] ?? Number.NaN));
}

export function difference(a: Series, b: Series): Series {
	return paired(a, b, (left, right) => left - right);
}

export function ratio(a: Series, b: Series): Series {
	return paired(a, b, (left, right) => left / right);
}

/** The series with that name; throws if it was not measured, which is a mistake in the bench. */
export function seriesOf(measured: ReadonlyMap<string, Series>, name: string): Series {
	const series = measured.get(name);
	if (series === undefined) throw new RangeError(`${name} was not measured`);
	return series;
}
