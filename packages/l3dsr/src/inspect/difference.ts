/** The difference between a host and its configuration. */
import { runningPrograms, suspectsFor } from "../host/suspects.ts";
import type { Configuration } from "../model/configuration.ts";
import type { Finding } from "../model/finding.ts";
import { directorDrift } from "../plan/director-drift.ts";
import { driftOf } from "../plan/drift.ts";
import type { Step } from "../plan/host-state.ts";
import type { ConfiguredHost } from "../reconcile/configured-host.ts";
import type { Plan } from "../reconcile/target.ts";
import { refusalText } from "./refusal-text.ts";
import { tracesOf } from "./status/traces.ts";

export interface Difference {
	readonly drift: readonly Finding[];
	/** Who could have changed the host, one sentence each. */
	readonly suspects: readonly string[];
	/** What `up` would refuse to do; undefined if it would refuse nothing. */
	readonly refused: string | undefined;
	readonly differs: boolean;
}

/** `plan` is what up would do. */
export function differenceOf(
	{ services }: Pick<Configuration, "services">,
	plan: Plan<ConfiguredHost>,
): Difference {
	const { observed, state, steps, desired } = plan;
	const refused = refusalText(plan);
	const drift = driftOf(state, { steps, services, stopped: desired.stopped });
	// New next hops and finished drains are due work, not a difference from the configuration.
	const isDue = (step: Step) => step.kind === "director" && directorDrift(step.plan).length === 0;
	return {
		drift,
		suspects: steps.length === 0 ? [] : suspectsFor(tracesOf(observed, drift), runningPrograms()),
		refused,
		differs: refused !== undefined || !steps.every(isDue),
	};
}
