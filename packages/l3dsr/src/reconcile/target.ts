/** What a host should be made into, and the plan that leads there. */
import { L3dsrError } from "../errors.ts";
import { privilegeMissing } from "../host/capabilities.ts";
import type { Finding } from "../model/finding.ts";
import { signatureOf } from "../model/lower-service.ts";
import { sameRule } from "../model/rule.ts";
import type { RuleEntry } from "../model/ruleset.ts";
import type { DesiredHost, HostState, Step } from "../plan/host-state.ts";
import { planSteps } from "../plan/plan-steps.ts";
import type { Assignment } from "../rewrite/assign.ts";
import { describeReason } from "../rewrite/reason.ts";
import { requirePlace } from "./director-place.ts";
import type { ObservedHost, Scope } from "./observe.ts";

export interface Target<D extends DesiredHost = DesiredHost> {
	readonly scope: Scope;
	/** From what was observed to what should be. Throws L3dsrError when that cannot be told. */
	desired(observed: ObservedHost): D | Promise<D>;
	/**
	 * An edit leads somewhere else when it is made again: what it led to is verified. Of every other target it is
	 * verified that, planned again, nothing is left to do.
	 */
	readonly edit?: true;
	/** Of who plans for the same target again and again. */
	readonly memory?: {
		/** The plan for a host like one that is remembered, with what was observed now. */
		get(observed: ObservedHost): Plan<D> | undefined;
		keep(plan: Plan<D>): void;
	};
}

export interface Plan<D extends DesiredHost = DesiredHost> {
	readonly observed: ObservedHost;
	readonly desired: D;
	/** Where each desired rule runs; `refused` says that the steps cannot be made. */
	readonly assignment: Assignment;
	/** As observed, with the findings that the plan mends. */
	readonly state: HostState;
	readonly steps: readonly Step[];
	/** Why there cannot be the director that is wanted: then none of the steps is about it. */
	readonly directorRefused?: L3dsrError;
}

/** Changes nothing. */
export async function planTarget<D extends DesiredHost>(
	observed: ObservedHost,
	target: Target<D>,
): Promise<Plan<D>> {
	const known = target.memory?.get(observed);
	if (known !== undefined) return known;
	const plan = await planDesired(observed, await target.desired(observed), target.scope);
	target.memory?.keep(plan);
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
	// A command that knows no configuration does not know where a service's rule belongs either.
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

/** What a host, or its wish, can be to blame for. */
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

/** Throws L3dsrError where the director cannot be as it is wanted. */
export async function directorSteps(
	observed: Pick<ObservedHost, "director">,
	{ director }: Pick<DesiredHost, "director">,
): Promise<readonly Step[]> {
	const plan = director === undefined ? undefined : await observed.director.plan(director);
	return plan === undefined ? [] : [{ kind: "director", plan }];
}

/** Own rules that run on one datapath and belong on the other: the configuration has changed, or the interfaces have. */
function misplacedRules({ rules }: Assignment, { snapshot }: ObservedHost): Finding[] {
	const standing = new Map(snapshot.rules.map((one) => [placeKey(one), one]));
	return rules.flatMap(({ entry, datapath, reason }) => {
		const name = signatureOf(entry.rule);
		const now = standing.get(placeKey(entry));
		if (name === undefined || now === undefined || now.datapath === datapath) return [];
		if (!sameRule(now.rule, entry.rule)) return [];
		const problem = `runs on ${now.datapath} and belongs on ${datapath}: ${describeReason(reason)}`;
		return [{ kind: "misplaced", object: `a rule of ${name}`, problem, rule: entry.rule }];
	});
}

function placeKey({ rule: { family, table, chain }, ordinal }: RuleEntry): string {
	return `${family} ${table} ${chain} ${ordinal}`;
}
