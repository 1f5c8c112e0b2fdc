/**
 * The last plan for a target that left nothing to do. What it was made from is compared, so that a host on which only
 * counters have moved is not planned again. Pure.
 */
import { sameRule, sameValue } from "../model/rule.ts";
import type { DesiredHost } from "../plan/host-state.ts";
import type { ObservedRule } from "../rewrite/datapath.ts";
import type { ObservedHost } from "./observe.ts";
import type { Plan } from "./target.ts";

export class PlanMemory<D extends DesiredHost> {
	#last: Plan<D> | undefined;

	/** The plan for a host like the one that it was made for, as if it had been made for this one. */
	get(observed: ObservedHost): Plan<D> | undefined {
		const last = this.#last;
		if (last === undefined || !isAsBefore(last.observed, observed)) return undefined;
		return { ...last, observed, state: observed.state };
	}

	/** With something to do, or a director, whose tables tell more than is compared, it is not kept. */
	keep(plan: Plan<D>): void {
		const { steps, assignment, directorRefused, desired, observed } = plan;
		const isSettled = steps.length === 0 && assignment.refused === undefined && directorRefused === undefined;
		const directs = (desired.director ?? "none") !== "none" || observed.director.runsAt.length > 0;
		this.#last = isSettled && !directs ? plan : undefined;
	}
}

/** Counters apart. */
function isAsBefore(before: ObservedHost, now: ObservedHost): boolean {
	return (
		now.snapshot.findings.length === 0 &&
		before.snapshot.rules.length === now.snapshot.rules.length &&
		before.snapshot.rules.every((rule, index) => isSamePlaced(rule, now.snapshot.rules[index])) &&
		sameValue(before.snapshot.directors, now.snapshot.directors) &&
		sameValue(before.snapshot.limited, now.snapshot.limited) &&
		sameValue(before.guard, now.guard) &&
		sameValue(before.interfaces, now.interfaces) &&
		sameValue(before.state.addresses, now.state.addresses)
	);
}

function isSamePlaced(a: ObservedRule, b: ObservedRule | undefined): boolean {
	return (
		b !== undefined &&
		a.ordinal === b.ordinal &&
		a.datapath === b.datapath &&
		a.hook === b.hook &&
		sameRule(a.rule, b.rule)
	);
}
