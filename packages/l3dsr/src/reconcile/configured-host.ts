/** The host that a configuration asks for, in terms of the host that it is asked of. */
import type { AddressedInterface } from "../host/addresses.ts";
import type { Configuration } from "../model/configuration.ts";
import { type LoweringOptions, lowerService, signatureOf } from "../model/lower-service.ts";
import type { Service } from "../model/service.ts";
import { arrivalInterfaces } from "../plan/arrival-interfaces.ts";
import { desiredHost, type Wish } from "../plan/desired-host.ts";
import type { DesiredHost } from "../plan/host-state.ts";
import { withOwnNames } from "../plan/interface-names.ts";
import { partServices, type StoppedService } from "../plan/startable.ts";
import type { HostSnapshot } from "../rewrite/host-datapath.ts";
import type { HostEffects } from "./host-effects.ts";
import type { ObservedHost } from "./observe.ts";
import type { Target } from "./target.ts";

export type ServiceConfiguration = Pick<Configuration, "services" | "table" | "interfaces" | "datapath">;

export interface ConfiguredHost extends Required<DesiredHost> {
	readonly wish: Wish;
	/** Configured, and not possible on this host. */
	readonly stopped: readonly StoppedService[];
}

/** `elsewhere` gives the services that dsrctl looks after; it is asked only when something of ours would otherwise go. */
export function configuredTarget(
	host: Pick<HostEffects, "hasIpv6">,
	configuration: ServiceConfiguration,
	elsewhere: () => Promise<readonly Service[]>,
): Target<ConfiguredHost> {
	const { startable, stopped } = partServices(configuration.services, { ipv6: host.hasIpv6() });
	return {
		scope: "host",
		async desired(observed) {
			const named = withOwnNames({ ...configuration, services: startable }, observed.interfaces);
			const { services } = named;
			const wish: Wish = {
				services,
				...(named.interfaces === undefined ? {} : { interfaces: named.interfaces }),
				lowering: await loweringOf(named, services, observed.interfaces, observed.snapshot),
				elsewhere: somethingLeaves(services, observed) ? await elsewhere() : [],
			};
			return { ...desiredHost(observed.state, wish), wish, stopped };
		},
	};
}

function somethingLeaves(startable: readonly Service[], { state }: ObservedHost): boolean {
	const vips = new Set(startable.map(({ vip }) => vip.text));
	const names = new Set(startable.map(({ name }) => name));
	return (
		state.guard.held.some(({ text }) => !vips.has(text)) ||
		state.rules.some(({ rule }) => {
			const signature = signatureOf(rule);
			return signature !== undefined && !(names.has(signature) && vips.has(rule.target.daddr.text));
		})
	);
}

/**
 * Rules name interfaces where the configuration does, and where that lets them run on eBPF. Otherwise they
 * name none, and are for every interface, now and later.
 */
async function loweringOf(
	configuration: ServiceConfiguration,
	startable: readonly Service[],
	present: readonly AddressedInterface[],
	snapshot: Pick<HostSnapshot, "assign">,
): Promise<LoweringOptions> {
	const plain: LoweringOptions = {
		table: configuration.table,
		localOnly: true,
		signed: true,
		beside: startable,
	};
	const real = present.map(({ name, up, addresses }) => ({
		name,
		up,
		addresses: addresses.filter(({ scope }) => scope === "global").map(({ address }) => address),
	}));
	const interfaces = arrivalInterfaces(configuration, real);
	const named: LoweringOptions = { ...plain, interfaces };
	if (configuration.interfaces !== undefined) return named;
	if (configuration.datapath === "nft" || interfaces.length === 0) return plain;
	const rules = startable.flatMap((service) => lowerService(service, named));
	const { rules: assigned } = await snapshot.assign({
		entries: rules.map((rule, index) => ({ rule, ordinal: index })),
	});
	return assigned.some((one) => one.datapath === "ebpf") ? named : plain;
}
