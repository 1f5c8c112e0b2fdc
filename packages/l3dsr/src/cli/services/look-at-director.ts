/** The director for `status`: its record, after the drains that are over have been ended. */
import { readFoundChecks } from "../../host/found-checks.ts";
import type { DirectorRecord } from "../../inspect/status/director-record.ts";
import { observedDirector } from "../../inspect/status/observed-director.ts";
import type { DesiredDirector } from "../../model/director.ts";
import type { ConfiguredHost } from "../../reconcile/configured-host.ts";
import type { ObservedDirector } from "../../reconcile/director.ts";
import type { Plan } from "../../reconcile/target.ts";
import { codeOf } from "../error-table.ts";
import type { ServiceHost } from "./host.ts";

/** Undefined on a host that neither directs nor should. */
export async function lookAtDirector(
	host: Pick<ServiceHost, "lock">,
	plan: Plan<ConfiguredHost>,
): Promise<DirectorRecord | undefined> {
	const { observed, desired, steps } = plan;
	const wanted = desired.director === "none" ? undefined : desired.director;
	const isDue = steps.some((step) => step.kind === "director" && step.plan.drainsOver > 0);
	if (wanted !== undefined && isDue) await endDrains(host, observed.director, wanted);
	return await observedDirector(plan, wanted === undefined ? undefined : await readFoundChecks());
}

/** Without an agent nobody else does it. Whoever holds the lock is changing the director, and will do it as well. */
async function endDrains(
	host: Pick<ServiceHost, "lock">,
	director: ObservedDirector,
	wanted: DesiredDirector,
): Promise<void> {
	try {
		using _lock = await host.lock(0);
		await director.endDrains(wanted);
	} catch (error) {
		if (codeOf(error) !== "LOCK_HELD") throw error;
	}
}
