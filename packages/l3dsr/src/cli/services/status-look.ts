/** The looks of `status` and `top`: what runs on this host, as often as it is asked for. */
import { type StatusRecord, statusOf } from "../../inspect/status/status.ts";
import { DEFAULT_CONFIGURATION } from "../../model/configuration.ts";
import { configuredTarget } from "../../reconcile/configured-host.ts";
import { planHost } from "../../reconcile/reconcile.ts";
import type { Observation } from "../../rewrite/datapath.ts";
import { configurationIfThere, servicesElsewhere } from "../../sources/configuration.ts";
import { resolveSettings } from "../../sources/settings.ts";
import { wishOf } from "../../sources/wish.ts";
import type { CliContext } from "../context.ts";
import type { ServiceHost } from "./host.ts";
import { lookAtDirector } from "./look-at-director.ts";

export interface StatusLook {
	readonly record: StatusRecord;
	readonly observation: Observation;
}

/** With the configuration as it is now, if there is one at `path`. Throws L3dsrError (CONFIG_*, MODEL_*, KERNEL_*). */
export async function statusLook(
	host: ServiceHost,
	path: string,
	env: CliContext["env"],
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
		const record = statusOf(plan, loaded, configuration.datapath, director);
		return { record, observation: plan.observed.snapshot };
	};
}
