/** Whether a real server counts as healthy, from one result to the next, and when it is asked again. Pure. */
import type { CheckTiming, RealHealth } from "../../model/fleet.ts";

export interface Health {
	/** What the director goes by. */
	readonly state: RealHealth;
	/** False until the first result: until then the state was assumed. */
	readonly checked: boolean;
	/** In a row; one of the two is 0. */
	readonly failures: number;
	readonly successes: number;
	/** When it came into this state, or was assumed to be in it: milliseconds since 1970. */
	readonly since: number;
}

export function assume(state: RealHealth, now: number): Health {
	return { state, checked: false, failures: 0, successes: 0, since: now };
}

/**
 * After a result: `fall` failures in a row make it fail, `rise` successes in a row make it healthy. One that is new is
 * starting until its first success; one that was assumed to fail is healthy after its first success, too.
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

/** The first start of a check: anywhere in the first interval, so that a thousand checks are spread over it. */
export function firstStart(now: number, { intervalMs }: CheckTiming, random: number): number {
	return now + random * intervalMs;
}

/** How much a start is moved about, as a share of the interval: what has come to start together parts again. */
const JITTER = 0.1;

/**
 * When a check starts again that started at `started` and ended at `ended`, with no other one under way. After a failure
 * of one that still counts as healthy it does not wait for the whole interval but for its timeout. What is late is left
 * out, not made up for. `random`: 0 to 1.
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
 * When the next one starts beside a check that has just started, `underWay` of them in all, without waiting for its end:
 * after a first failure they follow each other at half of the timeout, as many as are missing until it is down. Each still
 * has its whole timeout. Undefined: not at all.
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
