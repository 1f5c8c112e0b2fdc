/** What `status` and `top` show: the state of this host, read at each call. */
import { readFoundChecks } from "../../host/found-checks.ts";
import { observeKeeping } from "../../host/hold.ts";
import { DEFAULT_CONFIGURATION } from "../../model/configuration.ts";
import { type ConfiguredHost, configuredTarget } from "../../reconcile/configured-host.ts";
import { endDueDrains } from "../../reconcile/end-drains.ts";
import type { HostEffects } from "../../reconcile/host-effects.ts";
import { planHost } from "../../reconcile/reconcile.ts";
import type { Plan } from "../../reconcile/target.ts";
import type { Observation } from "../../rewrite/datapath.ts";
import { configurationIfThere, servicesElsewhere } from "../../sources/configuration.ts";
import type { Environment } from "../../sources/dsr-conf.ts";
import { resolveSettings } from "../../sources/settings.ts";
import type { SourceFiles } from "../../sources/source-files.ts";
import { wishOf } from "../../sources/wish.ts";
import type { DirectorRecord } from "./director-record.ts";
import { observedDirector } from "./observed-director.ts";
import { type StatusRecord, statusOf } from "./status.ts";

export interface StatusLook {
	readonly record: StatusRecord;
	readonly observation: Observation;
}

/** Uses the current configuration, if there is one at `path`. Throws L3dsrError (CONFIG_*, MODEL_*, KERNEL_*). */
export async function statusLook(
	host: HostEffects & SourceFiles,
	path: string,
	env: Environment,
): Promise<() => Promise<StatusLook>> {
	const loaded = await configurationIfThere(host, path, env);
	const wish = loaded === undefined ? undefined : await wishOf(host, loaded, env);
	const configuration = wish?.configuration ?? { ...DEFAULT_CONFIGURATION, ...resolveSettings({}, env) };
	const datapath = await host.openDatapath(configuration);
	const elsewhere = () => servicesElsewhere(host, env);
	const target = configuredTarget(host, configuration, elsewhere, wish?.director);
	return async () => {
		const plan = await planHost(host, datapath, target);
		const director = await lookAtDirector(host, plan);
		const record = statusOf(plan, loaded, configuration.datapath, observeKeeping(), director);
		return { record, observation: plan.observed.snapshot };
	};
}

/**
 * Undefined on a host that is not a director and should not be one. Drains that are over are ended first: without an
 * agent nobody else does it.
 */
async function lookAtDirector(
	host: Pick<HostEffects, "lock">,
	plan: Plan<ConfiguredHost>,
): Promise<DirectorRecord | undefined> {
	const { director } = plan.desired;
	const wanted = director === "none" ? undefined : director;
	await endDueDrains(host, plan, wanted);
	return await observedDirector(plan, wanted === undefined ? undefined : readFoundChecks());
}
