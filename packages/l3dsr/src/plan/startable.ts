/** Which services this host can have. Pure. */
import type { Service } from "../model/service.ts";

/** A valid service that is not possible on this host. */
export interface StoppedService {
	readonly service: Service;
	/** `IPv6 is disabled on this host`. */
	readonly reason: string;
}

export interface PartedServices {
	readonly startable: readonly Service[];
	readonly stopped: readonly StoppedService[];
}

/** `ipv6`: whether `lo` takes IPv6 addresses. Both lists are in the order of `services`. */
export function partServices(
	services: readonly Service[],
	{ ipv6 }: { readonly ipv6: boolean },
): PartedServices {
	const possible = ({ vip }: Service) => ipv6 || vip.family !== "ipv6";
	return {
		startable: services.filter(possible),
		stopped: services
			.filter((service) => !possible(service))
			.map((service) => ({ service, reason: "IPv6 is disabled on this host" })),
	};
}
