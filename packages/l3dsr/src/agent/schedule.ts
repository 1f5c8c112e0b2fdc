/**
 * When the agent runs the reconciler, and what for. Pure: times are milliseconds of a clock that never goes back, and come
 * from outside.
 *
 * An event waits for a moment for others, so that a burst is one run. Runs spend a budget that grows with time, so that a
 * host on which something happens without a pause does not spend its time on looking. What an operator does is never made
 * to wait.
 */
import type { Trigger } from "./record.ts";

/** A burst is over when nothing has come for so long; but what came first does not wait longer than that. */
interface Gathering {
	readonly quietMs: number;
	readonly patienceMs: number;
}

const PROMPT: Gathering = { quietMs: 15, patienceMs: 60 };
/** A program that writes a file in several steps leaves it broken in between. */
const OF_FILES: Gathering = { quietMs: 100, patienceMs: 1000 };

/** The check in any case: so long after the last run. */
export const CHECK_MS = 60_000;

/** While events do not end, this share of the time is spent on runs, and after a quiet time so much at once. */
const SHARE = 0.2;
const MOST_BUDGET_MS = 1000;
const MOST_REST_MS = 5000;

/** After a failure: twice as long each time. Events bring the next attempt forward, but not below the first of them. */
const FIRST_RETRY_MS = 1000;
const MOST_RETRY_MS = 60_000;

/** What an operator has just done, and looks for the effect of. */
const URGENT: ReadonlySet<Trigger> = new Set(["start", "file", "signal", "command"]);

interface Pending {
	readonly firstAt: number;
	readonly lastAt: number;
	readonly triggers: ReadonlySet<Trigger>;
}

export interface Schedule {
	/** What was heard since the last run began. */
	readonly pending: Pending | undefined;
	readonly running: boolean;
	/** What is not urgent waits until then. */
	readonly restUntil: number;
	/** What runs may still take of the processor, in milliseconds, as it was at a time; less than nothing: a rest is due. */
	readonly budget: { readonly ms: number; readonly at: number };
	/** When the next run is due though nothing happens, and why. */
	readonly due: { readonly at: number; readonly trigger: "minute" | "retry" };
	/** In a row. */
	readonly failures: number;
}

export function newSchedule(now: number): Schedule {
	const pending = { firstAt: now, lastAt: now, triggers: new Set<Trigger>(["start"]) };
	return {
		pending,
		running: false,
		restUntil: now,
		budget: { ms: MOST_BUDGET_MS, at: now },
		due: { at: now + CHECK_MS, trigger: "minute" },
		failures: 0,
	};
}

export function heard(schedule: Schedule, now: number, trigger: Trigger): Schedule {
	const { pending } = schedule;
	const triggers = new Set(pending?.triggers).add(trigger);
	return { ...schedule, pending: { firstAt: pending?.firstAt ?? now, lastAt: now, triggers } };
}

/** When the next run begins if nothing more is heard; Infinity while one is running. */
export function nextRunAt({ pending, running, restUntil, due }: Schedule): number {
	if (running) return Number.POSITIVE_INFINITY;
	if (pending === undefined) return Math.max(due.at, restUntil);
	const { quietMs, patienceMs } = pending.triggers.has("file") ? OF_FILES : PROMPT;
	const gathered = Math.min(pending.lastAt + quietMs, pending.firstAt + patienceMs);
	const isUrgent = [...pending.triggers].some((trigger) => URGENT.has(trigger));
	return Math.min(isUrgent ? gathered : Math.max(gathered, restUntil), Math.max(due.at, restUntil));
}

export interface Begun {
	readonly schedule: Schedule;
	readonly triggers: readonly Trigger[];
	/** When the first of them was heard. */
	readonly since: number;
}

/** A run begins: what was heard until now is what it is for. */
export function begun(schedule: Schedule, now: number): Begun {
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
	readonly tookMs: number;
	/** How long repairs are put off because something else changes them back; 0: not at all. */
	readonly contentionMs: number;
}

export function ended(schedule: Schedule, now: number, { failed, tookMs, contentionMs }: RunEnd): Schedule {
	const failures = failed ? schedule.failures + 1 : 0;
	const retryMs = Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), MOST_RETRY_MS);
	const { ms, at } = schedule.budget;
	const left = Math.min(ms + SHARE * (now - at), MOST_BUDGET_MS) - tookMs;
	const tiredMs = Math.min(Math.max(0, -left / SHARE), MOST_REST_MS);
	const restMs = failed ? Math.max(FIRST_RETRY_MS, tiredMs) : tiredMs;
	return {
		...schedule,
		running: false,
		failures,
		budget: { ms: Math.max(left, -SHARE * MOST_REST_MS), at: now },
		restUntil: now + Math.max(restMs, contentionMs),
		due: failed ? { at: now + retryMs, trigger: "retry" } : { at: now + CHECK_MS, trigger: "minute" },
	};
}
