/** The host as it is, and the wish of its configuration in terms of that host. */
import type { Observation, RuleStore } from "../../datapath/datapath.ts";
import type { AddressedInterface } from "../../host/addresses.ts";
import type { ObservedGuard } from "../../host/vip-guard.ts";
import type { Configuration } from "../../model/configuration.ts";
import { signatureOf } from "../../model/lower-service.ts";
import type { Service } from "../../model/service.ts";
import type { LinkAddress } from "../../model/vip-guard.ts";
import { arrivalInterfaces } from "../../plan/arrival-interfaces.ts";
import type { HostState, Wish } from "../../plan/host-plan.ts";
import type { ServiceHost } from "./host.ts";

export interface ObservedHost {
	readonly state: HostState;
	readonly observation: Observation;
	readonly guard: ObservedGuard;
	readonly interfaces: readonly AddressedInterface[];
}

export async function observeHost(host: ServiceHost, datapath: RuleStore): Promise<ObservedHost> {
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
			damage: observation.findings.map(({ object, problem }) => `${object}: ${problem}`),
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
	};
}

/** `elsewhere` is asked only when something of ours would otherwise go. */
export async function wishOf(
	configuration: Pick<Configuration, "services" | "table" | "interfaces" | "datapath">,
	{ state, interfaces }: ObservedHost,
	elsewhere: () => Promise<readonly Service[]>,
	ebpf: boolean,
): Promise<Wish> {
	const { services, table } = configuration;
	const real = interfaces.map(({ name, up, addresses }) => ({
		name,
		up,
		addresses: addresses.filter(({ scope }) => scope === "global").map(({ address }) => address),
	}));
	const arrivals = arrivalInterfaces(configuration, real, ebpf);
	const vips = new Set(services.map(({ vip }) => vip.text));
	const names = new Set(services.map(({ name }) => name));
	const leaves =
		state.guard.held.some(({ text }) => !vips.has(text)) ||
		state.rules.some(({ rule }) => {
			const signature = signatureOf(rule);
			return signature !== undefined && !(names.has(signature) && vips.has(rule.target.daddr.text));
		});
	return {
		services,
		lowering: {
			table,
			localOnly: true,
			signed: true,
			...(arrivals === undefined ? {} : { interfaces: arrivals }),
		},
		elsewhere: leaves ? await elsewhere() : [],
	};
}
