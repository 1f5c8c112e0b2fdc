/** Where packets from directors arrive: which interfaces the rules of services name. Pure. */
import type { Address } from "../model/address.ts";
import type { Configuration } from "../model/configuration.ts";
import type { InterfaceName } from "../model/service.ts";

/** An interface and the global addresses that it holds. */
export interface RealInterface {
	readonly name: string;
	readonly up: boolean;
	readonly addresses: readonly Address[];
}

/**
 * Those of the configuration; else, where the eBPF engine can serve them, those that carry the host's global
 * addresses, VIPs aside. Undefined: no rule names an interface, and every one counts, now and later.
 */
export function arrivalInterfaces(
	{ interfaces, datapath, services }: Pick<Configuration, "interfaces" | "datapath" | "services">,
	present: readonly RealInterface[],
	ebpf: boolean,
): readonly InterfaceName[] | undefined {
	if (interfaces !== undefined) return interfaces;
	if (datapath === "nft" || !ebpf) return undefined;
	const vips = new Set(services.map(({ vip }) => vip.text));
	const names = present
		.filter(({ name, up }) => name !== "lo" && up)
		.filter(({ addresses }) => addresses.some(({ text }) => !vips.has(text)))
		.map(({ name }) => ({ name, wildcard: false }));
	return names.length === 0 ? undefined : names;
}
