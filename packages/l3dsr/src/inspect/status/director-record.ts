/** The state of a director: `director` in the record of `l3dsr status`, as packages/records describes it. Pure. */
import type { Address } from "@l3dsr/packet";
import type { DirectorStatus, RealStatus, ServiceStatus } from "../../balance/kernel/status.ts";
import { REASONS, type Reason } from "../../balance/reason.ts";
import { RING_SLOTS } from "../../balance/ring.ts";
import { type BalancedService, lowerFleet, protocolName, type ServiceKey } from "../../balance/service.ts";
import { isSameService } from "../../balance/tables/state.ts";
import type { DesiredDirector, DirectorSettings } from "../../model/director.ts";
import { type Affinity, type Pool, type Real, type RealState, usePool } from "../../model/fleet.ts";
import type { HeldReal } from "../../model/held-real.ts";
import type { FindCheck, RealCheck } from "../../model/real-check.ts";
import type { Counters } from "../../model/rule.ts";
import type { Rate } from "./service-rows.ts";

export interface RealRecord extends Counters {
	readonly name: string;
	readonly address: string;
	/** With the operator's setting on this host; null if it is no longer configured. */
	readonly configured: RealState | null;
	readonly state: "up" | "down" | "drain" | "disabled" | "starting" | "leaving";
	readonly reason?: string;
	readonly weight: number;
	readonly slots: number;
	readonly share: number;
	readonly hop: HopRecord;
	readonly rate?: Rate | null;
	readonly check?: RealCheck;
}

export interface HopRecord {
	readonly state: "resolved" | "kernel" | "unresolved" | "unreachable";
	readonly interface?: string;
	readonly mac?: string;
}

export interface DirectedServiceRecord extends Counters {
	readonly name: string;
	readonly vip: string;
	readonly protocol: string;
	readonly port: number | "any";
	readonly dscp: number;
	readonly pool: string;
	readonly affinity: Affinity;
	readonly state: "up" | "floor" | "down";
	readonly transition: { readonly slots: number; readonly seconds: number } | null;
	readonly rate?: Rate | null;
	readonly reals: readonly RealRecord[];
}

export interface DirectorRecord {
	readonly programs: readonly { readonly interface: string; readonly hook: string; readonly id: number }[];
	readonly forward: DirectorSettings["forward"];
	readonly flows: DirectorSettings["flows"];
	readonly services: readonly DirectedServiceRecord[];
	readonly reasons: readonly {
		readonly reason: Reason;
		readonly outcome: (typeof REASONS)[Reason]["outcome"];
		readonly meaning: string;
		readonly packets: bigint;
	}[];
}

/** The source of the names in a record. */
interface Names {
	readonly wanted: Pick<DesiredDirector, "fleet" | "held"> | undefined;
	/** Undefined if no agent runs. */
	readonly checkOf: FindCheck | undefined;
	/** By index. */
	readonly interfaces: ReadonlyMap<number, string>;
}

/**
 * Without `wanted`, addresses serve as names of services and real servers. `checkOf`: the results of an
 * agent; without one, nobody checks.
 */
export function directorRecord(
	status: DirectorStatus,
	wanted?: Names["wanted"],
	checkOf?: FindCheck,
): DirectorRecord {
	const [first] = status.programs;
	const interfaces = new Map(
		status.programs.flatMap(({ interface: on, settings }) =>
			settings === undefined ? [] : [[settings.ifindex, on] as const],
		),
	);
	const wish = wanted === undefined ? [] : lowerFleet(wanted.fleet).services;
	return {
		programs: status.programs.map(({ interface: on, hook, id }) => ({ interface: on, hook, id })),
		forward: first?.settings?.forward ?? "resolved",
		flows: first?.settings?.flows ?? "transition",
		services: inOrder(status.services, wish).map((service) =>
			serviceRecord(service, wish, { wanted, checkOf, interfaces }),
		),
		reasons: (Object.keys(REASONS) as Reason[]).map((reason) => ({
			reason,
			outcome: REASONS[reason].outcome,
			meaning: REASONS[reason].meaning,
			packets: status.reasons[reason],
		})),
	};
}

/** In the order of the fleet's table; those that are no longer in it come last. */
function inOrder(services: readonly ServiceStatus[], wish: readonly BalancedService[]): ServiceStatus[] {
	const place = ({ service }: ServiceStatus) => {
		const index = wish.findIndex((one) => isSameService(one, service));
		return index < 0 ? wish.length : index;
	};
	return services
		.map((service) => ({ service, place: place(service) }))
		.sort((a, b) => a.place - b.place)
		.map(({ service }) => service);
}

function serviceRecord(
	status: ServiceStatus,
	wish: readonly BalancedService[],
	names: Names,
): DirectedServiceRecord {
	const { address, protocol, port } = status.service;
	const configured = wish.find((one) => isSameService(one, status.service));
	const pool = names.wanted?.fleet.pools.find(({ name }) => name === configured?.pool);
	const reals = status.reals.map((one) => realRecord(one, status.service, pool, names));
	const healths = new Map(
		status.reals.map(({ address: own, health }) => [realOf(pool, own)?.name, health] as const),
	);
	const belowFloor =
		pool !== undefined &&
		usePool(
			pool,
			pool.reals.map((real) => healths.get(real.name) ?? "healthy"),
		).belowFloor;
	const sum = (key: keyof Counters) => reals.reduce((total, one) => total + one[key], 0n);
	return {
		name: configured?.vip ?? address.text,
		vip: address.text,
		protocol: protocolName(protocol),
		port: port === 0 ? "any" : port,
		dscp: status.dscp ?? configured?.dscp ?? 0,
		pool: pool?.name ?? "",
		affinity: status.affinity,
		state: reals.some(({ slots }) => slots > 0) ? (belowFloor ? "floor" : "up") : "down",
		transition: status.transition ?? null,
		packets: sum("packets"),
		bytes: sum("bytes"),
		reals,
	};
}

function realOf(pool: Pool | undefined, { text }: Address): Real | undefined {
	return pool?.reals.find(({ addresses }) => addresses.some((one) => one.text === text));
}

function realRecord(
	status: RealStatus,
	{ address: vip, protocol, port }: ServiceKey,
	pool: Pool | undefined,
	names: Names,
): RealRecord {
	const real = realOf(pool, status.address);
	const state = stateOf(status, real);
	const held = names.wanted?.held.find((one) => one.pool === pool?.name && one.real === real?.name);
	const check = names.checkOf?.({ vip: vip.text, protocol, port, address: status.address.text });
	const hasAgent = names.checkOf !== undefined;
	const reason = reasonOf(status, state, real, { held, check, hasAgent });
	return {
		name: real?.name ?? status.address.text,
		address: status.address.text,
		configured: real?.state ?? null,
		state,
		...(reason === undefined ? {} : { reason }),
		weight: real?.weight ?? 0,
		slots: status.slots,
		share: status.slots / RING_SLOTS,
		hop: hopRecord(status, names.interfaces),
		...status.counters,
		...(check === undefined ? {} : { check }),
	};
}

/** According to what runs: a pending change of the fleet does not count. */
function stateOf({ up, leaving, slots, health }: RealStatus, real: Real | undefined): RealRecord["state"] {
	if (leaving) return "leaving";
	if (up) return slots > 0 || real?.state === "enabled" ? "up" : "drain";
	return health === "failing" ? "down" : health === "starting" ? "starting" : "disabled";
}

interface Why {
	readonly held: HeldReal | undefined;
	readonly check: RealCheck | undefined;
	/** An agent runs here, and checks. */
	readonly hasAgent: boolean;
}

function reasonOf(
	{ up, slots, health, hop }: RealStatus,
	state: RealRecord["state"],
	real: Real | undefined,
	{ held, check, hasAgent }: Why,
): string | undefined {
	if (state === "leaving") return "no longer in the fleet";
	if (held !== undefined && held.state === real?.state)
		return `${held.state === "drain" ? "drained" : "disabled"} on this host since ${held.since}`;
	if (health === "starting") return startingText(check, hasAgent);
	if (health === "failing")
		return `${failingText(check, hasAgent)}${up ? "; too many others fail as well, so all are used (floor)" : ""}`;
	if (real !== undefined && real.state !== "enabled") return `state: ${real.state} in the fleet`;
	if (up && slots === 0) return real?.weight === 0 ? "weight: 0 in the fleet" : "it has no slot";
	return hop.to === "unresolved" ? "its next hop is unknown" : undefined;
}

function startingText(check: RealCheck | undefined, hasAgent: boolean): string {
	if (!hasAgent) return "it waits for its first check, but no agent runs: start the agent, or run l3dsr up";
	if (check?.reason === undefined) return "it is new: it gets flows when its first check succeeds";
	return `it is new, and its ${check.type} check has not succeeded yet: ${check.reason}`;
}

/** Without an agent, nobody updates this. */
function failingText(check: RealCheck | undefined, hasAgent: boolean): string {
	if (!hasAgent) return "its check failed when an agent last ran here; no agent checks it now";
	return check?.reason === undefined ? "its check fails" : `its ${check.type} check fails: ${check.reason}`;
}

function hopRecord({ hop }: RealStatus, interfaces: ReadonlyMap<number, string>): HopRecord {
	if (hop.to !== "interface") return { state: hop.to };
	const name = interfaces.get(hop.ifindex);
	const mac = [...hop.nextHop].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
	return { state: "resolved", ...(name === undefined ? {} : { interface: name }), mac };
}
