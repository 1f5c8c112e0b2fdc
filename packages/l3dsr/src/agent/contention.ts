/**
 * Detects that something else manages the same objects: what was repaired is changed again and again. Repairs are
 * then made less and less often, so that two managers do not keep a host busy for ever. Pure: times are milliseconds
 * of a monotonic clock.
 *
 * A person who breaks a thing a few times is not a manager; a daemon that changes it every two minutes is.
 */
import type { Finding, FindingKind } from "../model/finding.ts";

/** An object is contested after this many repairs within this time. */
const LIMITS: readonly { readonly repairs: number; readonly withinMs: number }[] = [
	{ repairs: 8, withinMs: 60_000 },
	{ repairs: 12, withinMs: 600_000 },
];
const REMEMBERED_MS = Math.max(...LIMITS.map(({ withinMs }) => withinMs));
/** The most objects remembered; the one repaired longest ago is dropped first. */
const MOST_SUBJECTS = 1000;

const FIRST_DELAY_MS = 1000;
const MOST_DELAY_MS = 30_000;
/** Contention is over when no contested object has needed a repair for this long. */
export const QUIET_MS = 180_000;

export interface Contention {
	/** Object → the times of its repairs, oldest first. */
	readonly repairs: ReadonlyMap<string, readonly number[]>;
	/** Absent if nothing is contested. */
	readonly contest?: {
		readonly subjects: ReadonlySet<string>;
		/** When a contested object was last repaired. */
		readonly at: number;
		readonly delayMs: number;
	};
}

export const NO_CONTENTION: Contention = { repairs: new Map() };

/** The contention that a repair revealed. */
export interface Contested {
	readonly subjects: readonly string[];
	readonly repairs: number;
	readonly withinMs: number;
	readonly delayMs: number;
}

export interface RepairNoted {
	readonly contention: Contention;
	/** Set if an object has just become contested. */
	readonly began?: Contested;
}

/**
 * Drift caused by interfaces and addresses that come and go, not by another manager: it is repaired at once, however
 * often.
 */
const OF_THE_HOST: ReadonlySet<FindingKind> = new Set(["network", "misplaced"]);

/** The findings of a repair that another manager may have caused. */
export function contestable(drift: readonly Finding[]): string[] {
	return drift
		.filter(({ kind }) => !OF_THE_HOST.has(kind))
		.map(({ object, problem }) => `${object} ${problem}`);
}

/** Records a repair of these objects. */
export function noteRepair(before: Contention, now: number, subjects: readonly string[]): RepairNoted {
	const repairs = new Map(
		[...before.repairs]
			.map(([subject, times]) => [subject, times.filter((at) => at > now - REMEMBERED_MS)] as const)
			.filter(([, times]) => times.length > 0),
	);
	for (const subject of new Set(subjects)) {
		const times = repairs.get(subject) ?? [];
		// Insert again, to keep the map in order of the last repair.
		repairs.delete(subject);
		repairs.set(subject, [...times, now]);
	}
	for (const subject of repairs.keys()) {
		if (repairs.size <= MOST_SUBJECTS) break;
		repairs.delete(subject);
	}
	const exceeded = exceededLimit(repairs, now, subjects);
	const { contest } = before;
	const known = contest !== undefined && subjects.some((subject) => contest.subjects.has(subject));
	if (exceeded === undefined && !known) {
		return { contention: { repairs, ...(contest === undefined ? {} : { contest }) } };
	}
	const contested = new Set([...(contest?.subjects ?? []), ...(exceeded?.subjects ?? [])]);
	const delayMs = contest === undefined ? FIRST_DELAY_MS : Math.min(2 * contest.delayMs, MOST_DELAY_MS);
	const contention = { repairs, contest: { subjects: contested, at: now, delayMs } };
	const isNews = exceeded?.subjects.some((subject) => contest?.subjects.has(subject) !== true) === true;
	return exceeded === undefined || !isNews ? { contention } : { contention, began: { ...exceeded, delayMs } };
}

function exceededLimit(
	repairs: ReadonlyMap<string, readonly number[]>,
	now: number,
	subjects: readonly string[],
): Omit<Contested, "delayMs"> | undefined {
	for (const { repairs: most, withinMs } of LIMITS) {
		const within = (subject: string) =>
			(repairs.get(subject) ?? []).filter((at) => at > now - withinMs).length;
		const exceeding = [...new Set(subjects)].filter((subject) => within(subject) >= most);
		const [first] = exceeding;
		if (first === undefined) continue;
		const earliest = repairs.get(first)?.at(-within(first)) ?? now;
		return { subjects: exceeding, repairs: within(first), withinMs: now - earliest };
	}
	return undefined;
}

/** How long after `now` the next repair may be made, in ms; 0: at once. */
export function contentionDelay({ contest }: Contention, now: number): number {
	return contest === undefined ? 0 : Math.max(0, contest.at + contest.delayMs - now);
}

/**
 * How long no contested object has needed a repair, in ms, if that is long enough to end the contention; else
 * undefined.
 */
export function quietSince({ contest }: Contention, now: number): number | undefined {
	if (contest === undefined || now - contest.at < QUIET_MS) return undefined;
	return now - contest.at;
}
