/** The director as a part of the host: observed, planned and changed with the rest. Loaded only if there is one. */

import type { Director } from "../balance/kernel/director.ts";
import type { DirectorStatus } from "../balance/kernel/status.ts";
import type { DesiredDirector } from "../model/director.ts";
import { type DirectorPlan, isEmptyPlan } from "../model/director-plan.ts";
import type { HostEffects } from "./host-effects.ts";

export interface ObservedDirector {
	/** Interfaces at which a director's program runs. */
	readonly runsAt: readonly string[];
	/** The plan from what runs to `desired`. Throws L3dsrError if that is not possible. */
	plan(desired: DesiredDirector | "none"): Promise<DirectorPlan | undefined>;
	/**
	 * While the mark is the same, a plan without steps stays without steps; undefined if nothing runs that can be read.
	 */
	mark(): Promise<string | undefined>;
	/** What runs; undefined if nothing runs. Throws KERNEL_*. */
	status(): Promise<DirectorStatus | undefined>;
	/** Ends finished drains, with the drain times of the services in `desired`. The caller holds the lock. */
	endDrains(desired: DesiredDirector): Promise<void>;
	/** Applies `plan`, completely or not at all. Throws KERNEL_*. */
	change(desired: DesiredDirector | "none"): Promise<void>;
}

export function observedDirector(
	host: Pick<HostEffects, "openDirector">,
	runsAt: readonly string[],
): ObservedDirector {
	return {
		runsAt,
		async plan(desired) {
			if (desired === "none" && runsAt.length === 0) return undefined;
			using director = await host.openDirector();
			const plan = desired === "none" ? director.planDetach() : planInOneState(director, desired);
			return isEmptyPlan(plan) ? undefined : plan;
		},
		async mark() {
			if (runsAt.length === 0) return undefined;
			using director = await host.openDirector();
			return director.mark();
		},
		async status() {
			if (runsAt.length === 0) return undefined;
			using director = await host.openDirector();
			return director.status();
		},
		async endDrains(desired) {
			using director = await host.openDirector();
			director.useDrains(director.wishFor(desired.fleet));
			director.endDrains();
		},
		async change(desired) {
			using director = await host.openDirector();
			if (desired === "none") director.detach();
			else {
				const wish = director.wishFor(desired.fleet);
				director.useDrains(wish);
				// A finished drain ends before the next one begins: its flows have had their time.
				director.endDrains();
				director.apply(wish, desired.settings);
			}
		},
	};
}

/** An agent writes the tables a few times a second at most. */
const MOST_READINGS = 8;

/**
 * A plan reads the tables for the health of the real servers, and again for the rest. If an agent has
 * written a health in between, it would be reported as a difference, so the plan is made again.
 */
function planInOneState(director: Director, { fleet, settings }: DesiredDirector): DirectorPlan {
	let before = director.mark();
	for (let reading = 1; ; reading++) {
		const plan = director.plan(director.wishFor(fleet), settings);
		const after = director.mark();
		if (after === before || reading === MOST_READINGS) return plan;
		before = after;
	}
}
