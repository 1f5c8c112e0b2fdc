/** The input of a director's checks, which do not touch the host themselves. */
import type { Address } from "@l3dsr/packet";
import type { CheckFinding } from "../../host/checks/check.ts";
import type { InterfaceFacts } from "../../host/facts.ts";
import type { DscpWriter } from "../../host/foreign-rules.ts";
import type { DirectorSettings } from "../../model/director.ts";
import type { Fleet } from "../../model/fleet.ts";
import type { HeldReal } from "../../model/held-real.ts";

export interface DirectorCheckInput {
	readonly settings: DirectorSettings;
	readonly fleet: Fleet;
	/** The operator's overrides on this host. */
	readonly held: readonly HeldReal[];
	/** VIPs that this host serves as a real server. */
	readonly served: readonly Address[];
	/** Why `up` would refuse to attach the director. */
	readonly refused?: { readonly message: string; readonly hint?: string };
	readonly facts: DirectorFacts;
}

export interface DirectorFacts {
	/** All interfaces of this namespace. */
	readonly interfaces: readonly InterfaceFacts[];
	readonly dscpWriters: readonly DscpWriter[];
	/** The route to each real server, by the text of its address. */
	readonly ways: ReadonlyMap<string, RealWay>;
	/** Interfaces with IPv4 forwarding enabled. */
	readonly forwardsIpv4: ReadonlySet<string>;
	readonly forwardsIpv6: boolean;
	/** Interfaces on which the kernel sends ICMP redirects. */
	readonly sendsRedirects: ReadonlySet<string>;
}

export type RealWay =
	| {
			readonly to: "link";
			readonly interface: string;
			/** Of a VLAN device: the interface below it, and the tag. */
			readonly tagged?: { readonly interface: string; readonly vlan: number };
			readonly mtu: number;
	  }
	| { readonly to: "local" | "nowhere" };

export type DirectorCheck = (input: DirectorCheckInput) => CheckFinding[];

/** The address families of the fleet's VIPs. */
export function familiesOf({ vips }: Fleet): ReadonlySet<Address["family"]> {
	return new Set(vips.flatMap(({ addresses }) => addresses.map(({ family }) => family)));
}

/** The interfaces of the director. */
export function ownInterfaces({ settings, facts }: DirectorCheckInput): InterfaceFacts[] {
	return facts.interfaces.filter(({ name, alternativeNames }) =>
		[name, ...alternativeNames].some((one) => settings.interfaces.includes(one)),
	);
}

/** True if the kernel routes the rewritten packets. */
export function kernelForwards({ settings: { hook, forward } }: DirectorCheckInput): boolean {
	return hook === "tc" || forward === "kernel";
}
