/** A change of the states of real servers on a director, and of nothing else. */
import { L3dsrError } from "../errors.ts";
import type { DesiredDirector } from "../model/director.ts";
import { directorDrift } from "../plan/director-drift.ts";
import type { DesiredHost, Step } from "../plan/host-state.ts";
import type { HostDatapath } from "../rewrite/host-datapath.ts";
import type { HostEffects } from "./host-effects.ts";
import { planHost, reconcile } from "./reconcile.ts";
import type { Plan, Target } from "./target.ts";

/** Only the director, as the fleet and these states define it; nothing else of the host. */
export function heldTarget(director: DesiredDirector): Target<DesiredHost> {
	return { scope: "director", desired: () => ({ ruleset: { entries: [] }, director }) };
}

export interface HoldPlan {
	/** False: the director does not run, and only the stored states change. */
	readonly runs: boolean;
	readonly steps: readonly Step[];
	/** Throws ReconcileError. */
	make(onStep: (step: Step) => void): Promise<void>;
}

/** Throws L3dsrError: DIRECTOR_DRIFT if the director is not in the state `before`; `path` names the configuration. */
export async function planHold(
	host: HostEffects,
	datapath: HostDatapath,
	{ before, after }: { readonly before: Target<DesiredHost>; readonly after: Target<DesiredHost> },
	path: string,
): Promise<HoldPlan> {
	const current = await planHost(host, datapath, before);
	if (current.observed.director.runsAt.length === 0) return { runs: false, steps: [], make: async () => {} };
	requireApplied(current, path);
	const plan = await planHost(host, datapath, after);
	if (plan.directorRefused !== undefined) throw plan.directorRefused;
	return {
		runs: true,
		steps: plan.steps,
		make: async (onStep) => void (await reconcile(host, datapath, [after], { onStep })),
	};
}

/** A pending change of the fleet is left for `up`. */
function requireApplied({ steps, directorRefused }: Plan, path: string): void {
	if (directorRefused !== undefined) throw directorRefused;
	const drift = steps.flatMap((step) => (step.kind === "director" ? directorDrift(step.plan) : []));
	if (drift.length === 0) return;
	throw new L3dsrError({
		code: "DIRECTOR_DRIFT",
		message: `change only this state: the director differs from ${path} and the fleet, and that would change too`,
		notes: drift.slice(0, MOST_NOTES).map(({ object, problem }) => `${object} ${problem}`),
		hint: "nothing has been changed; run l3dsr up first (-n shows what it does)",
	});
}

const MOST_NOTES = 5;
