/** The desired state of a host, and the plan that leads there. */
import { L3dsrError } from "../errors.ts";
import { privilegeMissing } from "../host/capabilities.ts";
import type { Finding } from "../model/finding.ts";
import { signatureOf } from "../model/lower-service.ts";
import { sameRule } from "../model/rule.ts";
import { placeOf } from "../model/ruleset.ts";
import type { DesiredHost, HostState, Step } from "../plan/host-state.ts";
import { planSteps } from "../plan/plan-steps.ts";
import type { Assignment } from "../rewrite/assign.ts";
import { describeReason } from "../rewrite/reason.ts";
import { requirePlace } from "./director-place.ts";
import type { ObservedHost, Scope } from "./observe.ts";

export interface Target<D extends DesiredHost = DesiredHost> {
	readonly scope: Scope;
	/** From the observed to the desired state. Throws L3dsrError if that is not possible. */
	desired(observed: ObservedHost): D | Promise<D>;
	/**
	 * Repeating an edit would change more, so its result is verified. For every other target, planning again
	 * must leave nothing to do.
	 */
	readonly edit?: true;
	/** For callers that plan the same target repeatedly. */
	readonly memory?: {
		/** The remembered plan for an equal host, with the current observation. `mark`: of the director that runs. */
		get(observed: ObservedHost, mark: string | undefined): Plan<D> | undefined;
		keep(plan: Plan<D>, mark: string | undefined): void;
	};
}

export interface Plan<D extends DesiredHost = DesiredHost> {
	readonly observed: ObservedHost;
	readonly desired: D;
	/** Where each desired rule runs; `refused` means that the steps cannot be applied. */
	readonly assignment: Assignment;
	/** As observed, with the findings that the plan repairs. */
	readonly state: HostState;
	readonly steps: readonly Step[];
	/** Why the desired director is not possible: then no step concerns it. */
	readonly directorRefused?: L3dsrError;
}

/** Changes nothing. */
export async function planTarget<D extends DesiredHost>(
	observed: ObservedHost,
	target: Target<D>,
): Promise<Plan<D>> {
	const { memory } = target;
	const mark = memory === undefined ? undefined : await observed.director.mark();
	const known = memory?.get(observed, mark);
	if (known !== undefined) return known;
	const plan = await planDesired(observed, await target.desired(observed), target.scope);
	memory?.keep(plan, mark);
	return plan;
}

/** Changes nothing. */
export async function planDesired<D extends DesiredHost>(
	observed: ObservedHost,
	desired: D,
	scope: Scope,
): Promise<Plan<D>> {
	const assignment = await observed.snapshot.assign(desired.ruleset);
	const { state } = observed;
	// A command without a configuration does not know where a service's rule belongs.
	const misplaced = scope === "host" ? misplacedRules(assignment, observed) : [];
	const whole = { ...state, findings: [...state.findings, ...misplaced] };
	const director = await planDirector(observed, desired, assignment);
	return {
		observed,
		desired,
		assignment,
		state: whole,
		steps: [...(scope === "director" ? [] : planSteps(whole, desired)), ...director.steps],
		...(director.refused === undefined ? {} : { directorRefused: director.refused }),
	};
}

/** Errors due to the host or its desired state, not to us. */
const REFUSALS: ReadonlySet<string> = new Set([
	"KERNEL_FEATURE",
	"KERNEL_PERMISSION",
	"CONFIG_BAD_VALUE",
	"DATAPATH_FOREIGN",
]);

async function planDirector(
	observed: ObservedHost,
	{ director }: Pick<DesiredHost, "director">,
	assignment: Assignment,
): Promise<{ readonly steps: readonly Step[]; readonly refused?: L3dsrError }> {
	if (director === undefined) return { steps: [] };
	try {
		if (director !== "none") {
			const { limited } = observed.snapshot;
			if (limited !== undefined) throw privilegeMissing("direct packets", "programs", limited.missing);
			requirePlace(director, observed.interfaces, assignment);
		}
		return { steps: await directorSteps(observed, { director }) };
	} catch (error) {
		if (error instanceof L3dsrError && REFUSALS.has(error.code)) return { steps: [], refused: error };
		throw error;
	}
}

/** Throws L3dsrError if the desired director is not possible. */
export async function directorSteps(
	observed: Pick<ObservedHost, "director">,
	{ director }: Pick<DesiredHost, "director">,
): Promise<readonly Step[]> {
	const plan = director === undefined ? undefined : await observed.director.plan(director);
	return plan === undefined ? [] : [{ kind: "director", plan }];
}

/**
 * Own rules that run on one datapath and belong on the other, because the configuration or the interfaces have
 * changed.
 */
function misplacedRules({ rules }: Assignment, { snapshot }: ObservedHost): Finding[] {
	const current = new Map(snapshot.rules.map((one) => [placeOf(one), one]));
	return rules.flatMap(({ entry, datapath, reason }) => {
		const name = signatureOf(entry.rule);
		const now = current.get(placeOf(entry));
		if (name === undefined || now === undefined || now.datapath === datapath) return [];
		if (!sameRule(now.rule, entry.rule)) return [];
		const problem = `runs on ${now.datapath} but belongs on ${datapath}: ${describeReason(reason)}`;
		return [{ kind: "misplaced", object: `a rule of ${name}`, problem, rule: entry.rule }];
	});
}
