/** What the checks of a director judge, without touching the host. */
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
	/** What the operator has set on this host. */
	readonly held: readonly HeldReal[];
	/** VIPs that this host answers as a real server. */
	readonly served: readonly Address[];
	/** Why up would refuse to attach the director. */
	readonly refused?: { readonly message: string; readonly hint?: string };
	readonly facts: DirectorFacts;
}

export interface DirectorFacts {
	/** All of this namespace. */
	readonly interfaces: readonly InterfaceFacts[];
	readonly dscpWriters: readonly DscpWriter[];
	/** The way to each real server's address, by its text. */
	readonly ways: ReadonlyMap<string, RealWay>;
	/** Interfaces that forward IPv4, as the kernel calls it: what comes in there may go out elsewhere. */
	readonly forwardsIpv4: ReadonlySet<string>;
	readonly forwardsIpv6: boolean;
	/** Interfaces at which the kernel tells senders of a shorter way (ICMP redirect). */
	readonly sendsRedirects: ReadonlySet<string>;
}

export type RealWay =
	| { readonly to: "link"; readonly interface: string; readonly mtu: number }
	| { readonly to: "local" | "nowhere" };

export type DirectorCheck = (input: DirectorCheckInput) => CheckFinding[];

/** Families that the fleet's VIPs have. */
export function familiesOf({ vips }: Fleet): ReadonlySet<Address["family"]> {
	return new Set(vips.flatMap(({ addresses }) => addresses.map(({ family }) => family)));
}

/** The director's own interfaces. */
export function ownInterfaces({ settings, facts }: DirectorCheckInput): InterfaceFacts[] {
	return facts.interfaces.filter(({ name, alternativeNames }) =>
		[name, ...alternativeNames].some((one) => settings.interfaces.includes(one)),
	);
}

/** Whether the kernel's routing sends what the program has rewritten. */
export function kernelForwards({ settings: { hook, forward } }: DirectorCheckInput): boolean {
	return hook === "tc" || forward === "kernel";
}
