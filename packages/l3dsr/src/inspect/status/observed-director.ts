/** The director of a plan, as `status` shows it. */
import { type FoundCheck, findIn } from "../../model/real-check.ts";
import type { ConfiguredHost } from "../../reconcile/configured-host.ts";
import type { Plan } from "../../reconcile/target.ts";
import type { DirectorRecord } from "./director-record.ts";

/**
 * Undefined on a host that is not a director and should not be one. `checks`: the results of an agent;
 * undefined without one. Reads counters, changes nothing.
 */
export async function observedDirector(
	{ observed: { director }, desired }: Plan<ConfiguredHost>,
	checks: readonly FoundCheck[] | undefined,
): Promise<DirectorRecord | undefined> {
	const wanted = desired.director === "none" ? undefined : desired.director;
	if (wanted === undefined && director.runsAt.length === 0) return undefined;
	const { directorRecord } = await import("./director-record.ts");
	const status = await director.status();
	if (status !== undefined)
		return directorRecord(status, wanted, checks === undefined ? undefined : findIn(checks));
	const { forward, flows } = wanted?.settings ?? { forward: "resolved", flows: "transition" };
	return { programs: [], forward, flows, services: [], reasons: [] };
}
