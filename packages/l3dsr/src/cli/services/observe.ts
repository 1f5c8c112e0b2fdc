/** The host as it is, and the wish of its configuration in terms of that host. */

import type { AddressedInterface } from "../../host/addresses.ts";
import type { ObservedGuard } from "../../host/vip-guard.ts";
import type { Configuration } from "../../model/configuration.ts";
import { type LoweringOptions, lowerService, signatureOf } from "../../model/lower-service.ts";
import type { Service } from "../../model/service.ts";
import type { LinkAddress } from "../../model/vip-guard.ts";
import { arrivalInterfaces } from "../../plan/arrival-interfaces.ts";
import type { HostState, Wish } from "../../plan/host-plan.ts";
import type { HostDatapath, HostSnapshot } from "../../rewrite/host-datapath.ts";
import type { ServiceHost } from "./host.ts";

export type ServiceConfiguration = Pick<Configuration, "services" | "table" | "interfaces" | "datapath">;

export interface ObservedHost {
	readonly state: HostState;
	readonly observation: HostSnapshot;
	readonly guard: ObservedGuard;
	readonly interfaces: readonly AddressedInterface[];
	/** Whether `lo` takes IPv6 addresses. */
	readonly ipv6: boolean;
}

export async function observeHost(host: ServiceHost, datapath: HostDatapath): Promise<ObservedHost> {
	const [observation, guard, interfaces] = await Promise.all([
		datapath.observe(),
		host.guard(),
		host.interfaces(),
	]);
	const loopback = interfaces.find(({ name }) => name === "lo")?.addresses ?? [];
	const links = interfaces
		.filter(({ name }) => name !== "lo")
		.flatMap(({ name, addresses }) =>
			addresses
				.filter(({ scope }) => scope === "global")
				.map(({ address, prefixLength }): LinkAddress => ({ interface: name, address, prefixLength })),
		);
	return {
		state: {
			rules: observation.rules,
			findings: observation.findings,
			addresses: loopback.map(({ address, prefixLength, label }) => ({
				address,
				prefixLength,
				...(label === undefined || address.family === "ipv6" ? {} : { label }),
			})),
			guard,
			links,
		},
		observation,
		guard,
		interfaces,
		ipv6: host.hasIpv6(),
	};
}

/**
 * What `configuration` asks for, as far as this host can have it: `startable` are those of its services.
 * `elsewhere` is asked only when something of ours would otherwise go.
 */
export async function wishOf(
	configuration: ServiceConfiguration,
	startable: readonly Service[],
	{ state, interfaces, observation }: ObservedHost,
	elsewhere: () => Promise<readonly Service[]>,
): Promise<Wish> {
	const vips = new Set(startable.map(({ vip }) => vip.text));
	const names = new Set(startable.map(({ name }) => name));
	const leaves =
		state.guard.held.some(({ text }) => !vips.has(text)) ||
		state.rules.some(({ rule }) => {
			const signature = signatureOf(rule);
			return signature !== undefined && !(names.has(signature) && vips.has(rule.target.daddr.text));
		});
	return {
		services: startable,
		lowering: loweringOf(configuration, startable, interfaces, observation),
		elsewhere: leaves ? await elsewhere() : [],
	};
}

/**
 * Rules name interfaces where the configuration does, and where that lets them run on eBPF. Otherwise they
 * name none, and are for every interface, now and later.
 */
function loweringOf(
	configuration: ServiceConfiguration,
	startable: readonly Service[],
	present: readonly AddressedInterface[],
	observation: Pick<HostSnapshot, "assign">,
): LoweringOptions {
	const plain: LoweringOptions = { table: configuration.table, localOnly: true, signed: true };
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
	const { rules: assigned } = observation.assign({
		entries: rules.map((rule, index) => ({ rule, ordinal: index })),
	});
	return assigned.some((one) => one.datapath === "ebpf") ? named : plain;
}
