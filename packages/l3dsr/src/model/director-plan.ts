/** What would change on a director, as values: for people before it is done, and as a step of a plan. */
import type { Address, Dscp } from "@l3dsr/packet";
import type { Affinity, BalancedProtocol } from "./fleet.ts";

/** What a real server gets: new flows too, the flows that it has, or nothing (`starting`: until its first check succeeds). */
export type RealUse = "serving" | "draining" | "starting" | "down";

export interface PlannedRealChange {
	/** Its name in the fleet; its address where the fleet has it no longer. */
	readonly name: string;
	readonly address: Address;
	/** Absent: the service did not have it before, or loses it. */
	readonly from?: RealUse;
	readonly to?: RealUse;
}

export interface PlannedServiceChange {
	/** Names in the fleet; absent where the service goes. */
	readonly vip?: string;
	readonly pool?: string;
	readonly address: Address;
	readonly protocol: BalancedProtocol;
	/** 0: any. */
	readonly port: number;
	readonly change: "new" | "changed" | "gone";
	/** Slots of the standing service that get another real server, of `slots`. */
	readonly moved: number;
	readonly slots: number;
	/** Of the slots that move, those whose flows are lost: their real server is down, or nothing is remembered. */
	readonly lost: number;
	/** In milliseconds: the flows of the other slots that move stay where they are for so long. */
	readonly drainMs: number;
	/** Where they are others than before. */
	readonly dscp?: Dscp;
	readonly affinity?: Affinity;
	/** Only those whose use changes. */
	readonly reals: readonly PlannedRealChange[];
}

export interface DirectorPlan {
	readonly action: "start" | "change" | "stop";
	/** Interfaces that get a program. `replaces`: one of ours makes way. */
	readonly attached: readonly {
		readonly interface: string;
		readonly hook: string;
		readonly replaces: boolean;
	}[];
	/** Programs that go. */
	readonly detached: readonly { readonly interface: string; readonly hook: string }[];
	readonly services: readonly PlannedServiceChange[];
	/** Real servers, by service, whose next hop is another one now. */
	readonly hops: number;
	/** Services whose transition is over. */
	readonly drainsOver: number;
}

/** Whether there is nothing to do. */
export function isEmptyPlan(plan: DirectorPlan): boolean {
	const { attached, detached, services, hops, drainsOver } = plan;
	return attached.length + detached.length + services.length + hops + drainsOver === 0;
}
