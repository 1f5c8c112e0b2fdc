/** What would change on a director, as values: to show to people, and as a step of a plan. */
import type { Address, Dscp } from "@l3dsr/packet";
import type { Affinity, BalancedProtocol } from "./fleet.ts";

/**
 * What a real server gets: new flows and its own, only its own, or nothing (`starting`: until its first check
 * succeeds).
 */
export type RealUse = "serving" | "draining" | "starting" | "down";

export interface PlannedRealChange {
	/** Its name in the fleet, or its address if it is no longer in the fleet. */
	readonly name: string;
	readonly address: Address;
	/** Absent if the service did not have it before; `to` is absent if the service loses it. */
	readonly from?: RealUse;
	readonly to?: RealUse;
}

export interface PlannedServiceChange {
	/** Names in the fleet; absent if the service is removed. */
	readonly vip?: string;
	readonly pool?: string;
	readonly address: Address;
	readonly protocol: BalancedProtocol;
	/** 0: any port. */
	readonly port: number;
	readonly change: "new" | "changed" | "gone";
	/** Slots of the existing service, out of `slots`, that get another real server. */
	readonly moved: number;
	readonly slots: number;
	/** Moved slots that lose their flows, because their real server is down or flows are not remembered. */
	readonly lost: number;
	/** How long the flows of the other moved slots stay where they are, in milliseconds. */
	readonly drainMs: number;
	/** Set if it changes. */
	readonly dscp?: Dscp;
	readonly affinity?: Affinity;
	/** Only real servers whose use changes. */
	readonly reals: readonly PlannedRealChange[];
}

export interface DirectorPlan {
	readonly action: "start" | "change" | "stop";
	/** Interfaces that get a program. `replaces`: it replaces one of ours. `behind`: programs of others that have run before ours; it goes in front of them. */
	readonly attached: readonly {
		readonly interface: string;
		readonly hook: string;
		readonly replaces: boolean;
		readonly behind: readonly string[];
	}[];
	/** Programs that are detached. */
	readonly detached: readonly { readonly interface: string; readonly hook: string }[];
	readonly services: readonly PlannedServiceChange[];
	/** Real servers, counted for each service, whose next hop changes. */
	readonly hops: number;
	/** Services whose transition is over. */
	readonly drainsOver: number;
}

/** True if there is nothing to do. */
export function isEmptyPlan(plan: DirectorPlan): boolean {
	const { attached, detached, services, hops, drainsOver } = plan;
	return attached.length + detached.length + services.length + hops + drainsOver === 0;
}
