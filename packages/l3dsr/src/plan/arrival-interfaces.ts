/** Where packets from directors arrive: which interfaces the rules of services name. Pure. */
import type { Address } from "@l3dsr/packet";
import type { Configuration } from "../model/configuration.ts";
import { type InterfaceName, isNameForRules } from "../model/interface-name.ts";

/** An interface and the global addresses that it holds. */
export interface RealInterface {
	readonly name: string;
	readonly up: boolean;
	readonly addresses: readonly Address[];
}

/**
 * The interfaces that the configuration names, else those that carry the host's global addresses, VIPs aside. One whose
 * name no rule can hold is left out, so that it does not stop the others; `check` says so.
 */
export function arrivalInterfaces(
	{ interfaces, services }: Pick<Configuration, "interfaces" | "services">,
	present: readonly RealInterface[],
): readonly InterfaceName[] {
	if (interfaces !== undefined) return interfaces;
	const vips = new Set(services.map(({ vip }) => vip.text));
	return present
		.filter(({ name, up }) => name !== "lo" && up && isNameForRules(name))
		.filter(({ addresses }) => addresses.some(({ text }) => !vips.has(text)))
		.map(({ name }) => ({ name, wildcard: false }));
}
