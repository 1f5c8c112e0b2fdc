/** What `dsrctl start` and `stop` ask of a host. */
import type { Service } from "../model/service.ts";
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

/** Services that this host cannot have are left out. */
export function startTarget(
	host: Pick<HostEffects, "hasIpv6">,
	services: readonly Service[],
	options: StartOptions,
): Target<DesiredParts> {
	const { startable } = partServices(services, { ipv6: host.hasIpv6() });
	return { scope: "services", desired: ({ state }) => withServices(state, startable, options) };
}

/** `discovered`: everything of the kind, configured or not. */
export function stopTarget(services: readonly Service[], discovered: boolean): Target<DesiredParts> {
	return {
		scope: "services",
		desired: ({ state }) => (discovered ? withoutDiscovered(state) : withoutServices(state, services)),
	};
}
