/** Whether a real server counts as healthy, from one result to the next, and when it is asked again. Pure. */
import type { CheckTiming } from "../../model/fleet.ts";

export interface Health {
	/** What the director goes by. */
	readonly healthy: boolean;
	/** False until the first result: until then `healthy` was assumed. */
	readonly checked: boolean;
	/** In a row; one of the two is 0. */
	readonly failures: number;
	readonly successes: number;
	/** When it became healthy or unhealthy, or was assumed to be: milliseconds since 1970. */
	readonly since: number;
}

export function assume(healthy: boolean, now: number): Health {
	return { healthy, checked: false, failures: 0, successes: 0, since: now };
}

/**
 * After a result: `fall` failures in a row make it unhealthy, `rise` successes in a row healthy. One that was assumed to be
 * unhealthy, because it has just been added, is healthy after its first success.
 */
export function afterResult(
	before: Health,
	isSuccess: boolean,
	{ rise, fall }: CheckTiming,
	now: number,
): Health {
	const failures = isSuccess ? 0 : before.failures + 1;
	const successes = isSuccess ? before.successes + 1 : 0;
	const healthy = before.healthy ? failures < fall : successes >= (before.checked ? rise : 1);
	const since = healthy === before.healthy ? before.since : now;
	return { healthy, checked: true, failures, successes, since };
}

/** The first start of a check: anywhere in the first interval, so that a thousand checks are spread over it. */
export function firstStart(now: number, { intervalMs }: CheckTiming, random: number): number {
	return now + random * intervalMs;
}

/** How much a start is moved about, as a share of the interval: what has come to start together parts again. */
const JITTER = 0.1;

/**
 * When a check starts again that started at `started` and ended at `ended`. After a failure of one that still counts as
 * healthy it does not wait for the whole interval but for its timeout: three failures are found in little more than three
 * timeouts. What is late is left out, not made up for. `random`: 0 to 1.
 */
export function nextStart(
	{ started, ended }: { readonly started: number; readonly ended: number },
	{ healthy, failures }: Health,
	{ intervalMs, timeoutMs }: CheckTiming,
	random: number,
): number {
	const isFalling = healthy && failures > 0;
	const wait = isFalling ? timeoutMs : intervalMs * (1 - JITTER / 2 + JITTER * random);
	return Math.max(ended, started + wait);
}
