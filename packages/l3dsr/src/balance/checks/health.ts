/** Decides from each result whether a real server is healthy, and when to check it again. Pure. */
import type { CheckTiming, RealHealth } from "../../model/fleet.ts";

export interface Health {
	/** The state that the director uses. */
	readonly state: RealHealth;
	/** False until the first result; until then the state is assumed. */
	readonly checked: boolean;
	/** Results in a row; one of the two is 0. */
	readonly failures: number;
	readonly successes: number;
	/** When this state began or was assumed, in milliseconds since 1970. */
	readonly since: number;
}

export function assume(state: RealHealth, now: number): Health {
	return { state, checked: false, failures: 0, successes: 0, since: now };
}

/**
 * The health after a result: `fall` failures in a row make a real server failing, `rise` successes in a row make it
 * healthy. A new one stays starting until its first success. One that was assumed to be failing becomes healthy if
 * its first check succeeds.
 */
export function afterResult(
	before: Health,
	isSuccess: boolean,
	{ rise, fall }: CheckTiming,
	now: number,
): Health {
	const failures = isSuccess ? 0 : before.failures + 1;
	const successes = isSuccess ? before.successes + 1 : 0;
	const state = stateAfter(before, { failures, successes }, { rise, fall });
	const since = state === before.state ? before.since : now;
	return { state, checked: true, failures, successes, since };
}

function stateAfter(
	{ state, checked }: Health,
	{ failures, successes }: Pick<Health, "failures" | "successes">,
	{ rise, fall }: Pick<CheckTiming, "rise" | "fall">,
): RealHealth {
	switch (state) {
		case "healthy":
			return failures < fall ? "healthy" : "failing";
		case "failing":
			return successes < (checked ? rise : 1) ? "failing" : "healthy";
		case "starting":
			return successes === 0 ? "starting" : "healthy";
	}
}

/** When a check first starts: at a random time in the first interval, which spreads a thousand checks. */
export function firstStart(now: number, { intervalMs }: CheckTiming, random: number): number {
	return now + random * intervalMs;
}

/**
 * By how much a start is moved at random, as a share of the interval, so that checks that coincide spread out again.
 */
const JITTER = 0.1;

/**
 * When a check starts again after one that ran from `started` to `ended`, with no other in progress. After a failure
 * of a real server that still counts as healthy, the next check waits only for the timeout instead of the interval.
 * Missed starts are skipped. `random`: 0 to 1.
 */
export function nextStart(
	{ started, ended }: { readonly started: number; readonly ended: number },
	health: Health,
	{ intervalMs, timeoutMs }: Pick<CheckTiming, "intervalMs" | "timeoutMs">,
	random: number,
): number {
	const wait = isFalling(health) ? timeoutMs : intervalMs * (1 - JITTER / 2 + JITTER * random);
	return Math.max(ended, started + wait);
}

/**
 * When another check starts beside one that has just started, without waiting for its end; `underWay`: the checks in
 * progress. After a first failure, the checks still missing to mark the real server down start half a timeout apart.
 * Each still has its whole timeout. Undefined: no check starts beside it.
 */
export function startBeside(
	started: number,
	underWay: number,
	health: Health,
	{ timeoutMs, fall }: Pick<CheckTiming, "timeoutMs" | "fall">,
): number | undefined {
	if (!isFalling(health) || health.failures + underWay >= fall) return undefined;
	return started + timeoutMs / 2;
}

function isFalling({ state, failures }: Health): boolean {
	return state === "healthy" && failures > 0;
}
