/**
 * The last plan for a target with nothing to do, with its inputs: a host on which only counters have
 * changed is not planned again. Pure.
 */
import { sameRule, sameValue } from "../model/rule.ts";
import type { DesiredHost } from "../plan/host-state.ts";
import type { ObservedRule } from "../rewrite/datapath.ts";
import type { ObservedHost } from "./observe.ts";
import type { Plan } from "./target.ts";

export class PlanMemory<D extends DesiredHost> {
	#last: { readonly plan: Plan<D>; readonly mark: string | undefined } | undefined;

	/** If the host equals the remembered one, the plan with this observation. */
	get(observed: ObservedHost, mark: string | undefined): Plan<D> | undefined {
		const last = this.#last;
		if (last === undefined || last.mark !== mark || !isAsBefore(last.plan.observed, observed))
			return undefined;
		return { ...last.plan, observed, state: observed.state };
	}

	/** Keeps the plan only if it has no steps and, for a director, if its mark is known. */
	keep(plan: Plan<D>, mark: string | undefined): void {
		const { steps, assignment, directorRefused, desired, observed } = plan;
		const isSettled = steps.length === 0 && assignment.refused === undefined && directorRefused === undefined;
		const directs = (desired.director ?? "none") !== "none" || observed.director.runsAt.length > 0;
		this.#last = isSettled && (!directs || mark !== undefined) ? { plan, mark } : undefined;
	}
}

/** True if nothing but counters has changed. */
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
