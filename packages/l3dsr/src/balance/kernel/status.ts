/** The current state of a director, as records. */
import type { Address, Dscp } from "@l3dsr/packet";
import type { RealHealth } from "../../model/fleet.ts";
import type { Counters } from "../../model/rule.ts";
import type { HookName } from "../../rewrite/ebpf/kernel/attachment.ts";
import type { ProgramSettings } from "../compile/about.ts";
import type { Reason } from "../reason.ts";
import type { ServiceKey } from "../service.ts";
import type { RealEntry } from "../tables/real-entry.ts";
import type { CurrentService } from "../tables/state.ts";
import { type Rings, useOfRing } from "../transition.ts";
import { TICK_MS, ticksBetween } from "./clock.ts";

export interface RealStatus {
	readonly address: Address;
	readonly up: boolean;
	/** From the last check. */
	readonly health: RealHealth;
	/** The real is no longer configured, and keeps its flows until the drain ends. */
	readonly leaving: boolean;
	readonly hop: RealEntry["hop"];
	/** Slots out of RING_SLOTS. */
	readonly slots: number;
	readonly counters: Counters;
}

export interface ServiceStatus {
	readonly service: ServiceKey;
	readonly affinity: CurrentService["affinity"];
	/** Undefined if the service has no real servers. */
	readonly dscp: Dscp | undefined;
	readonly reals: readonly RealStatus[];
	/** Slots in transition, and the seconds since the last change, if there are any. */
	readonly transition?: { readonly slots: number; readonly seconds: number };
}

export interface DirectorStatus {
	readonly programs: readonly {
		readonly interface: string;
		readonly hook: HookName;
		readonly id: number;
		readonly settings?: ProgramSettings;
	}[];
	readonly services: readonly ServiceStatus[];
	readonly reasons: Readonly<Record<Reason, bigint>>;
}

export function serviceStatus(
	service: CurrentService,
	rings: Rings,
	counters: ReadonlyMap<number, Counters>,
	now: number,
): ServiceStatus {
	const { address, protocol, port, affinity, first, changed } = service;
	const { owned, moving: slots } = useOfRing(rings, service.room);
	return {
		service: { address, protocol, port },
		affinity,
		dscp: service.reals[0]?.entry.dscp,
		reals: service.reals.map(({ index, entry }) => ({
			address: entry.address,
			up: entry.up,
			health: entry.health,
			leaving: entry.left !== undefined,
			hop: entry.hop,
			slots: owned[index] ?? 0,
			counters: counters.get(first + index) ?? { packets: 0n, bytes: 0n },
		})),
		...(slots === 0
			? {}
			: { transition: { slots, seconds: Math.round((ticksBetween(changed, now) * TICK_MS) / 1000) } }),
	};
}
