/**
 * Decides when the agent runs the reconciler, and why. Pure: the caller passes times, in milliseconds of a monotonic
 * clock.
 *
 * An event waits a moment for others, so that a burst causes one run, unless it deleted a table of ours. Runs spend a
 * CPU budget that grows with time, so that a host with events all the time does not spend all its time looking. A few
 * runs in a row are free, however much they cost: a fault after a quiet time is repaired at once. What an operator does
 * never waits for the budget.
 */
import type { Trigger } from "./record.ts";

/** A burst ends after `quietMs` without an event, or `patienceMs` after its first event. */
interface Gathering {
	readonly quietMs: number;
	readonly patienceMs: number;
}

const PROMPT: Gathering = { quietMs: 15, patienceMs: 60 };
const AT_ONCE: Gathering = { quietMs: 0, patienceMs: 0 };
/** Longer: while a program writes a file in several steps, the file is incomplete. */
const OF_FILES: Gathering = { quietMs: 100, patienceMs: 1000 };

/** A run is made this long after the last one, even without an event. */
export const CHECK_MS = 60_000;

/** The share of CPU time that runs may use while events keep coming, and the most that a quiet time can save up. */
const SHARE = 0.2;
const MOST_BUDGET_MS = 1000;
/** The budget may be overdrawn by as much as this many runs, each as costly as the costliest of late. */
const FREE_RUNS = 4;
const MOST_OVERDRAFT_MS = 5000;
const MOST_REST_MS = 5000;

/** The delay doubles with each failure. Events bring the next attempt forward, but not below this first delay. */
const FIRST_RETRY_MS = 1000;
const MOST_RETRY_MS = 60_000;

/** Triggers caused by an operator, who waits for the result. */
const URGENT: ReadonlySet<Trigger> = new Set(["start", "file", "signal", "command"]);

interface Pending {
	readonly firstAt: number;
	readonly lastAt: number;
	readonly triggers: ReadonlySet<Trigger>;
	readonly atOnce: boolean;
}

export interface Schedule {
	/** Triggers reported since the last run began. */
	readonly pending: Pending | undefined;
	readonly running: boolean;
	/** Until then, only urgent triggers start a run. */
	readonly restUntil: number;
	/**
	 * CPU time that runs may still use, in milliseconds, computed at time `at`; if negative, it is overdrawn.
	 * `costliest`: what the costliest run has used since the budget was full.
	 */
	readonly budget: { readonly ms: number; readonly at: number; readonly costliest: number };
	/** When the next run is due without an event, and why. */
	readonly due: { readonly at: number; readonly trigger: "minute" | "retry" };
	/** Failed runs in a row. */
	readonly failures: number;
}

export function newSchedule(now: number): Schedule {
	const pending = { firstAt: now, lastAt: now, triggers: new Set<Trigger>(["start"]), atOnce: false };
	return {
		pending,
		running: false,
		restUntil: now,
		budget: { ms: MOST_BUDGET_MS, at: now, costliest: 0 },
		due: { at: now + CHECK_MS, trigger: "minute" },
		failures: 0,
	};
}

/** `atOnce`: the event is whole, and what it did should not wait for others. */
export function noteTrigger(
	schedule: Schedule,
	now: number,
	trigger: Trigger,
	{ atOnce = false }: { readonly atOnce?: boolean } = {},
): Schedule {
	const { pending } = schedule;
	const triggers = new Set(pending?.triggers).add(trigger);
	return {
		...schedule,
		pending: {
			firstAt: pending?.firstAt ?? now,
			lastAt: now,
			triggers,
			atOnce: atOnce || pending?.atOnce === true,
		},
	};
}

/** When the next run begins if no more events arrive; Infinity while one is in progress. */
export function nextRunAt({ pending, running, restUntil, due }: Schedule): number {
	if (running) return Number.POSITIVE_INFINITY;
	if (pending === undefined) return Math.max(due.at, restUntil);
	const { quietMs, patienceMs } = gatheringOf(pending);
	const gathered = Math.min(pending.lastAt + quietMs, pending.firstAt + patienceMs);
	const isUrgent = [...pending.triggers].some((trigger) => URGENT.has(trigger));
	return Math.min(isUrgent ? gathered : Math.max(gathered, restUntil), Math.max(due.at, restUntil));
}

function gatheringOf({ triggers, atOnce }: Pending): Gathering {
	if (triggers.has("file")) return OF_FILES;
	return atOnce ? AT_ONCE : PROMPT;
}

export interface RunStart {
	readonly schedule: Schedule;
	readonly triggers: readonly Trigger[];
	/** When the first trigger was reported. */
	readonly since: number;
}

/** Begins a run for the triggers reported so far. */
export function startRun(schedule: Schedule, now: number): RunStart {
	const { pending, due } = schedule;
	const triggers = pending === undefined ? [due.trigger] : [...pending.triggers];
	return {
		schedule: { ...schedule, pending: undefined, running: true },
		triggers,
		since: pending?.firstAt ?? now,
	};
}

export interface RunEnd {
	readonly failed: boolean;
	/** CPU time that the run has used. */
	readonly usedMs: number;
	/** How long repairs are put off because of contention, in ms; 0: not at all. */
	readonly contentionMs: number;
}

export function finishRun(
	schedule: Schedule,
	now: number,
	{ failed, usedMs, contentionMs }: RunEnd,
): Schedule {
	const failures = failed ? schedule.failures + 1 : 0;
	const retryMs = Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), MOST_RETRY_MS);
	const budget = spend(schedule.budget, now, usedMs);
	const overdraft = Math.min(FREE_RUNS * budget.costliest, MOST_OVERDRAFT_MS);
	const tiredMs = Math.min(Math.max(0, -(budget.ms + overdraft) / SHARE), MOST_REST_MS);
	const restMs = failed ? Math.max(FIRST_RETRY_MS, tiredMs) : tiredMs;
	return {
		...schedule,
		running: false,
		failures,
		budget,
		restUntil: now + Math.max(restMs, contentionMs),
		due: failed ? { at: now + retryMs, trigger: "retry" } : { at: now + CHECK_MS, trigger: "minute" },
	};
}

function spend({ ms, at, costliest }: Schedule["budget"], now: number, usedMs: number): Schedule["budget"] {
	const saved = ms + SHARE * (now - at);
	const isFull = saved >= MOST_BUDGET_MS;
	return {
		ms: Math.max(Math.min(saved, MOST_BUDGET_MS) - usedMs, -MOST_OVERDRAFT_MS - SHARE * MOST_REST_MS),
		at: now,
		costliest: isFull ? usedMs : Math.max(costliest, usedMs),
	};
}
