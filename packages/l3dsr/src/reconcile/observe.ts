/** One observation of a host. */
import type { AddressedInterface } from "../host/addresses.ts";
import { NO_GUARD, type ObservedGuard } from "../host/vip-guard.ts";
import type { LinkAddress } from "../model/vip-guard.ts";
import type { HostState } from "../plan/host-state.ts";
import type { LoopbackAddress } from "../plan/loopback.ts";
import type { ObserveOptions } from "../rewrite/datapath.ts";
import type { HostDatapath, HostSnapshot } from "../rewrite/host-datapath.ts";
import { type ObservedDirector, observedDirector } from "./director.ts";
import type { HostEffects } from "./host-effects.ts";

/**
 * Which parts of a host are observed, and may be changed: the rules (iptables-daddr); the rules and `lo`
 * (dsrctl); the rules, `lo` and the VIP guard (l3dsr); the director alone (l3dsr drain).
 */
export type Scope = "rules" | "services" | "host" | "director";

export interface ObservedHost {
	readonly state: HostState;
	readonly snapshot: HostSnapshot;
	readonly guard: ObservedGuard;
	readonly director: ObservedDirector;
	/** Empty if the scope is the rules or the services. */
	readonly interfaces: readonly AddressedInterface[];
}

export async function observeHost(
	host: HostEffects,
	datapath: HostDatapath,
	scope: Scope,
	options: ObserveOptions = {},
): Promise<ObservedHost> {
	const [snapshot, guard, interfaces, loopback] = await Promise.all([
		datapath.observe(options),
		scope === "host" ? host.guard() : NO_GUARD,
		scope === "host" || scope === "director" ? host.interfaces() : [],
		scope === "services" ? host.loopbackAddresses() : [],
	]);
	const own = scope === "host" ? (interfaces.find(({ name }) => name === "lo")?.addresses ?? []) : loopback;
	return {
		state: {
			rules: snapshot.rules,
			findings: snapshot.findings,
			addresses: own.map(withoutIpv6Label),
			guard,
			links: linkAddresses(interfaces),
		},
		snapshot,
		guard,
		director: observedDirector(host, snapshot.directors),
		interfaces,
	};
}

/** IPv6 has no labels. */
function withoutIpv6Label({ address, prefixLength, label, own }: LoopbackAddress): LoopbackAddress {
	const labelled = label !== undefined && address.family === "ipv4";
	return { address, prefixLength, ...(labelled ? { label } : {}), ...(own === true ? { own } : {}) };
}

function linkAddresses(interfaces: readonly AddressedInterface[]): LinkAddress[] {
	return interfaces
		.filter(({ name }) => name !== "lo")
		.flatMap(({ name, kind, silent, addresses }) =>
			addresses
				.filter(({ scope }) => scope === "global")
				.map(
					({ address, prefixLength }): LinkAddress => ({
						interface: name,
						address,
						prefixLength,
						...(kind === "bridge" ? { bridge: true } : {}),
						...(silent === true ? { silent } : {}),
					}),
				),
		);
}
