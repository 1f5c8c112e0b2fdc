/** What a director does at present, as records. */
import type { Address } from "@l3dsr/packet";
import type { Counters } from "../../model/rule.ts";
import type { HookName } from "../../rewrite/ebpf/kernel/attachment.ts";
import type { ProgramSettings } from "../compile/about.ts";
import type { Reason } from "../reason.ts";
import type { ServiceKey } from "../service.ts";
import type { RealEntry } from "../tables/real-entry.ts";
import type { StandingService } from "../tables/state.ts";
import { type Rings, slotsInTransition } from "../transition.ts";
import { TICK_MS, ticksBetween } from "./clock.ts";

export interface RealStatus {
	readonly address: Address;
	readonly up: boolean;
	/** It is not configured any more, and keeps its flows until the drain is over. */
	readonly leaving: boolean;
	readonly hop: RealEntry["hop"];
	/** Of RING_SLOTS. */
	readonly slots: number;
	readonly counters: Counters;
}

export interface ServiceStatus {
	readonly service: ServiceKey;
	readonly affinity: StandingService["affinity"];
	readonly reals: readonly RealStatus[];
	/** Slots in transition; how long ago the last change was, in seconds, if there are any. */
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
	service: StandingService,
	rings: Rings,
	counters: ReadonlyMap<number, Counters>,
	now: number,
): ServiceStatus {
	const { address, protocol, port, affinity, first, changed } = service;
	const slots = slotsInTransition(rings);
	const owned = new Uint32Array(2 ** 15);
	for (const value of rings.now) owned[value & 0x7fff] = (owned[value & 0x7fff] ?? 0) + 1;
	return {
		service: { address, protocol, port },
		affinity,
		reals: service.reals.map(({ index, entry }) => ({
			address: entry.address,
			up: entry.up,
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
