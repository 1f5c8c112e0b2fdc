/** The targets of `dsrctl start` and `stop`. */
import type { Service, WrittenService } from "../model/service.ts";
import {
	type DesiredParts,
	type StartOptions,
	withoutDiscovered,
	withoutServices,
	withServices,
} from "../plan/start-stop.ts";
import { partServices } from "../plan/startable.ts";
import type { HostEffects } from "./host-effects.ts";
import type { Target } from "./target.ts";

export interface StartStop extends StartOptions {
	readonly action: string;
	/** Stops everything of the kind, configured or not. */
	readonly discovered: boolean;
	/** A line of the configuration is not a service: it keeps the others from being started. All or nothing. */
	readonly faulty: boolean;
}

/** What `start`, `stop` or `restart` (`action`) make of a host, one after the other; `refused`: nothing is started. */
export function dsrctlTargets(
	host: Pick<HostEffects, "hasIpv6">,
	written: readonly WrittenService[],
	{ action, discovered, faulty, table, insert }: StartStop,
): { readonly targets: readonly Target<DesiredParts>[]; readonly refused: boolean } {
	const services = written.map(({ service }) => service);
	const stopAll = discovered && action !== "start";
	const refused = action !== "stop" && faulty;
	const stops = action !== "start" && (stopAll || services.length > 0);
	const starts = action !== "stop" && !refused && services.length > 0;
	return {
		targets: [
			...(stops ? [stopTarget(services, stopAll)] : []),
			...(starts ? [startTarget(host, services, { table, insert })] : []),
		],
		refused,
	};
}

/** Services that are not possible on this host are left out. */
export function startTarget(
	host: Pick<HostEffects, "hasIpv6">,
	services: readonly Service[],
	options: StartOptions,
): Target<DesiredParts> {
	const { startable } = partServices(services, { ipv6: host.hasIpv6() });
	return { scope: "services", desired: ({ state }) => withServices(state, startable, options) };
}

/** `discovered`: everything of this kind, configured or not. */
export function stopTarget(services: readonly Service[], discovered: boolean): Target<DesiredParts> {
	return {
		scope: "services",
		desired: ({ state }) => (discovered ? withoutDiscovered(state) : withoutServices(state, services)),
	};
}
