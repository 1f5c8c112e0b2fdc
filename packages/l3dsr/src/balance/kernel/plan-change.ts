/** Plans a change of the running director. Reads the tables and writes nothing. */
import type { NetInterface } from "@l3dsr/linux";
import type { DirectorSettings } from "../../model/director.ts";
import type {
	DirectorPlan,
	PlannedRealChange,
	PlannedServiceChange,
	RealUse,
} from "../../model/director-plan.ts";
import { NOBODY, RING_SLOTS } from "../ring.ts";
import type { RingCache } from "../ring-cache.ts";
import { type BalancedReal, type BalanceWish, protocolName, type ServiceKey } from "../service.ts";
import { type PlannedService, sameRows, type TablePlan } from "../tables/plan.ts";
import { type CurrentService, isSameService, type NumberedReal } from "../tables/state.ts";
import { moveRing, type Rings, useOfRing } from "../transition.ts";
import type { Attachment } from "./attachments.ts";
import { isAsWanted, programSettings } from "./program-settings.ts";
import { PLACES_OF } from "./settings.ts";
import type { SharedTables } from "./shared-tables.ts";

export interface PlanInput {
	readonly tables: SharedTables | undefined;
	readonly attachments: readonly Attachment[];
	readonly rings: RingCache;
	readonly plan: TablePlan;
	readonly wish: BalanceWish;
	readonly settings: DirectorSettings;
	readonly interfaces: readonly NetInterface[];
}

/** The plan without next hops and drains. */
export function planChange(input: PlanInput): Omit<DirectorPlan, "hops" | "drainsOver"> {
	const { tables, attachments, plan } = input;
	const current = tables?.services() ?? [];
	const gone = current.filter((service) => !plan.services.some(({ wish }) => isSameService(wish, service)));
	return {
		action: attachments.length === 0 ? "start" : "change",
		...planPrograms(input),
		services: [
			...plan.services.flatMap((service) => planService(input, service, current) ?? []),
			...gone.map(goneService),
		],
	};
}

/** The programs that {@link Change} would replace: all of them if the tables or the rows of the VIP table change. */
function planPrograms({
	tables,
	attachments,
	plan,
	wish,
	settings,
	interfaces,
}: PlanInput): Pick<DirectorPlan, "attached" | "detached"> {
	const isOther =
		tables === undefined || plan.grow !== undefined || !sameRows(plan.rows, tables.vipTable().rows);
	const places = PLACES_OF[settings.hook];
	const kept = new Set<Attachment>();
	const attached = interfaces.flatMap((on): DirectorPlan["attached"] => {
		const here = attachments.filter((one) => one.interface.index === on.index);
		const current = here.find(({ hook }) => places.includes(hook));
		if (current !== undefined) kept.add(current);
		if (!isOther && isAsWanted(current, programSettings(on, settings, wish))) return [];
		const behind = current?.behind ?? [];
		return [{ interface: on.name, hook: current?.hook ?? places[0], replaces: here.length > 0, behind }];
	});
	const replaced = new Set(attached.map((one) => one.interface));
	const detached = attachments.filter((one) => !kept.has(one) && !replaced.has(one.interface.name));
	return { attached, detached: detached.map(placeOf) };
}

/** Undefined if the service stays the same. */
function planService(
	{ tables, rings: cache, settings }: PlanInput,
	{ wish, reals, leaving, isCurrent }: PlannedService,
	current: readonly CurrentService[],
): PlannedServiceChange | undefined {
	const own = current.find((one) => isSameService(one, wish));
	const head = {
		vip: wish.vip,
		pool: wish.pool,
		...headOf(wish),
		slots: RING_SLOTS,
		drainMs: wish.drainMs,
	};
	if (!isCurrent || own === undefined || tables === undefined) {
		const all = wish.reals.map((real) => ({ ...namesOf(real), to: useOf(real) }));
		return { ...head, change: "new", moved: 0, lost: 0, reals: all };
	}
	const rings = tables.rings(own.number);
	const carrying = new Set([
		...leaving.filter(({ entry }) => entry.up).map(({ index }) => index),
		...reals.filter(({ real }) => real.carries).map(({ index }) => index),
	]);
	const target = cache.target(
		wish,
		reals.map(({ index }) => index),
	);
	const remember = settings.flows !== "none";
	const { changes } = moveRing(rings, target, carrying, remember);
	const moved = changes.slots.length;
	let counted: Uint32Array | undefined;
	/** Counts the slots of all reals at the first call. */
	const slots = (index: number) => {
		counted ??= useOfRing(rings, own.room).owned;
		return counted[index] ?? 0;
	};
	const changed = [
		...reals.flatMap(({ real, index, current: entry }): PlannedRealChange[] => {
			const to = useOf(real);
			if (entry === undefined || entry.left !== undefined) return [{ ...namesOf(real), to }];
			const isMarked = entry.up === real.carries && entry.health === real.health;
			// A real with a small weight can have no slot and still serve.
			if (isMarked && moved === 0) return [];
			const from = currentUse({ index, entry }, slots);
			return isMarked && from === to ? [] : [{ ...namesOf(real), from, to }];
		}),
		...leaving
			.filter(({ entry }) => entry.left === undefined)
			.map((one) => ({
				name: one.entry.address.text,
				address: one.entry.address,
				from: currentUse(one, slots),
			})),
	];
	const others = {
		...(own.reals.some(({ entry }) => entry.dscp !== wish.dscp) ? { dscp: wish.dscp } : {}),
		...(own.affinity === wish.affinity ? {} : { affinity: wish.affinity }),
	};
	if (moved === 0 && changed.length === 0 && Object.keys(others).length === 0) return undefined;
	const lost = remember ? lostSlots(changes.slots, rings, carrying) : moved;
	return { ...head, change: "changed", moved, lost, ...others, reals: changed };
}

/** The number of slots that lose their flows, because their previous real carries none any more. */
function lostSlots(slots: Uint32Array, { now }: Rings, carrying: ReadonlySet<number>): number {
	let lost = 0;
	for (const slot of slots) {
		const from = (now[slot] ?? NOBODY) & NOBODY;
		if (from !== NOBODY && !carrying.has(from)) lost++;
	}
	return lost;
}

function goneService(service: CurrentService): PlannedServiceChange {
	return { ...headOf(service), slots: RING_SLOTS, change: "gone", moved: 0, lost: 0, drainMs: 0, reals: [] };
}

/** The plan for detaching all of a director's programs. */
export function planStop(
	attachments: readonly Attachment[],
	services: readonly CurrentService[],
): DirectorPlan {
	return {
		action: "stop",
		attached: [],
		detached: attachments.map(placeOf),
		services: services.map(goneService),
		hops: 0,
		drainsOver: 0,
	};
}

function placeOf({ interface: on, hook }: Attachment) {
	return { interface: on.name, hook };
}

function headOf({ address, protocol, port }: ServiceKey) {
	return { address, protocol: protocolName(protocol), port };
}

function namesOf({ name, address }: BalancedReal) {
	return { name, address };
}

function useOf({ serves, carries, health }: BalancedReal): RealUse {
	return serves ? "serving" : carries ? "draining" : health === "starting" ? "starting" : "down";
}

/** The use of a real, read from the tables: a real that takes new flows has slots. */
function currentUse({ index, entry }: NumberedReal, slots: (index: number) => number): RealUse {
	if (!entry.up) return entry.health === "starting" ? "starting" : "down";
	return slots(index) > 0 && entry.left === undefined ? "serving" : "draining";
}
