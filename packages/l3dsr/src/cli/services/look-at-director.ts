/** The director for `status`: its record, after the drains that are over have been ended. */
import { asL3dsrError } from "../../errors.ts";
import type { DirectorRecord } from "../../inspect/status/director-record.ts";
import type { DesiredDirector } from "../../model/director.ts";
import type { ConfiguredHost } from "../../reconcile/configured-host.ts";
import type { ObservedDirector } from "../../reconcile/director.ts";
import type { Plan } from "../../reconcile/target.ts";
import type { ServiceHost } from "./host.ts";

/** Undefined on a host that neither directs nor should. */
export async function lookAtDirector(
	host: Pick<ServiceHost, "lock">,
	{ observed: { director }, desired, steps }: Plan<ConfiguredHost>,
): Promise<DirectorRecord | undefined> {
	const wanted = desired.director === "none" ? undefined : desired.director;
	if (wanted === undefined && director.runsAt.length === 0) return undefined;
	const isDue = steps.some((step) => step.kind === "director" && step.plan.drainsOver > 0);
	if (wanted !== undefined && isDue) await endDrains(host, director, wanted);
	const { directorRecord } = await import("../../inspect/status/director-record.ts");
	const status = await director.status();
	if (status !== undefined) return directorRecord(status, wanted);
	const { forward, flows } = wanted?.settings ?? { forward: "resolved", flows: "transition" };
	return { programs: [], forward, flows, services: [], reasons: [] };
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
		if (asL3dsrError(error).code !== "LOCK_HELD") throw error;
	}
}
