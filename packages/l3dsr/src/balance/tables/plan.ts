/**
 * Plans the tables of a wish from the current ones: the ring and numbers of each service, the number of each real,
 * and what has to be written. Pure: rings are computed where they are needed (ring-cache.ts), and change.ts decides
 * the order.
 */
import { sameAddress } from "@l3dsr/packet";
import { L3dsrError } from "../../errors.ts";
import {
	type BalancedReal,
	type BalancedService,
	type BalanceWish,
	codesByReal,
	keyText,
	type ServiceKey,
	seedOf,
} from "../service.ts";
import {
	bucketBitsWithin,
	type Capacity,
	FLOW_BITS_DEFAULT,
	FRAGMENT_BITS_DEFAULT,
	HEADER,
	MOST_NUMBERS,
	REAL,
	REASON_SLOTS,
	ringsWithin,
} from "./layout.ts";
import type { RealEntry } from "./real-entry.ts";
import { Allocator, type CurrentService, isSameService, powerOfTwo, roomFor } from "./state.ts";
import type { ServicePlace, VipRow } from "./vip-table.ts";

/** A wished real and its number; `current`: the entry that it already has. */
export interface PlannedReal {
	readonly real: BalancedReal;
	/** Number within its service. */
	readonly index: number;
	readonly current?: RealEntry;
}

export interface PlannedService {
	readonly wish: BalancedService;
	readonly place: ServicePlace;
	/** In the order of the wish. */
	readonly reals: readonly PlannedReal[];
	/** Reals that are no longer configured, and keep their flows until the drain ends. */
	readonly leaving: readonly { readonly index: number; readonly entry: RealEntry }[];
	/** True if the service is in the tables already. */
	readonly isCurrent: boolean;
}

export interface TablePlan {
	readonly services: readonly PlannedService[];
	/** The wanted rows of the VIP table. */
	readonly rows: readonly VipRow[];
	/** Set if the tables are too small: everything moves to new ones of this size. */
	readonly grow?: Capacity;
}

export interface PlanOptions {
	/** Real servers have their own rows, so that codes from outside can be cleared. */
	readonly bleach: boolean;
	/** The reals that the slots of a current service refer to, *before* included; their numbers are taken. */
	readonly referred: (service: CurrentService) => ReadonlySet<number>;
	/** The most bytes that a table may have on this kernel; asked only if new tables are needed (default: no limit). */
	readonly largestTable?: () => number;
}

type Referred = (service: ServiceKey) => ReadonlySet<number>;

/** Plans new tables if there are none or they are too small. */
export function planTables(
	wish: BalanceWish,
	current: readonly CurrentService[],
	capacity: Capacity | undefined,
	options: PlanOptions,
): TablePlan {
	const asked = new Map<string, ReadonlySet<number>>();
	/** Reads the rings of the current service, once and only if needed. */
	const referred: Referred = (key) => {
		const own = current.find((one) => isSameService(one, key));
		const known = asked.get(keyText(key)) ?? (own === undefined ? new Set<number>() : options.referred(own));
		asked.set(keyText(key), known);
		return known;
	};
	const fits = capacity === undefined ? undefined : placeAll(wish, current, capacity, referred);
	if (fits !== undefined) return { services: fits, rows: rowsOf(wish, fits, options) };
	// Numbers within a service stay, because entries of the memory of flows refer to them; the service's place changes.
	const nowhere = current.map(moved);
	const largest = options.largestTable?.() ?? Number.POSITIVE_INFINITY;
	for (let grow = capacityFor(wish, capacity, largest); ; grow = { ...grow, reals: grow.reals * 2 }) {
		if (grow.reals > MOST_NUMBERS) throw tooMany();
		requireFit(wish, grow, largest);
		const services = placeAll(wish, nowhere, grow, referred);
		if (services !== undefined) return { services, rows: rowsOf(wish, services, options), grow };
	}
}

/** Throws KERNEL_FEATURE if the tables do not fit in this kernel's limit. */
function requireFit({ services }: BalanceWish, { reals }: Capacity, largest: number): void {
	const most = ringsWithin(largest);
	if (services.length <= most && HEADER.size + reals * REAL.size <= largest) return;
	throw new L3dsrError({
		code: "KERNEL_FEATURE",
		message:
			`make tables for ${services.length} services: before Linux 6.0 a table has at most ${largest >> 20} MB, ` +
			`room for ${most} services and ${Math.floor(largest / REAL.size / 2)} real servers`,
		hint: "run this director on a newer kernel, or split the services among several directors",
	});
}

function tooMany(): L3dsrError {
	return new L3dsrError({
		code: "KERNEL_FEATURE",
		message: `make tables for the director: they have room for ${MOST_NUMBERS} real servers, including those that are leaving`,
		hint: "replace the real servers in several steps, and wait for the drain in between",
	});
}

/** Without a place, for tables that are about to be made. */
function moved(service: CurrentService): CurrentService {
	return { ...service, first: 0, room: 0, number: -1 };
}

/**
 * Room for at least 16 services, and for 1/64 more than are wished for: the two rings of a service take 262 kB, and
 * making larger tables is quick. Room for half as many real servers again. Tables have at most `largest` bytes; memories keep their size and so
 * their content.
 */
export function capacityFor(
	{ services }: BalanceWish,
	before?: Capacity,
	largest = Number.POSITIVE_INFINITY,
): Capacity {
	const numbers = services.reduce((sum, { reals }) => sum + roomFor(reals.length + 4), REASON_SLOTS);
	return {
		vipBits: before?.vipBits ?? 0,
		rings: Math.min(
			ringsWithin(largest),
			Math.max(16, services.length + Math.ceil(services.length / 64), before?.rings ?? 0),
		),
		reals: Math.max(powerOfTwo(numbers * 1.5), before?.reals ?? 0),
		flowBits: before?.flowBits ?? Math.min(FLOW_BITS_DEFAULT, bucketBitsWithin(largest)),
		fragmentBits: before?.fragmentBits ?? FRAGMENT_BITS_DEFAULT,
	};
}

function placeAll(
	wish: BalanceWish,
	current: readonly CurrentService[],
	capacity: Capacity,
	referred: Referred,
): readonly PlannedService[] | undefined {
	const places = new Allocator(
		capacity,
		current.filter(({ number }) => number >= 0),
	);
	const planned: PlannedService[] = [];
	for (const service of wish.services) {
		const own = current.find((one) => isSameService(one, service));
		const stays = own !== undefined && own.number >= 0;
		const needed = service.reals.length + (own === undefined ? 0 : leavingOf(own, service).length);
		const highest = own === undefined ? 0 : Math.max(0, ...own.reals.map(({ index }) => index + 1));
		const place = stays ? own : places.take(Math.max(needed, Math.ceil(highest / 1.5)));
		if (place === undefined) return undefined;
		const reals = placeReals(service, own, place.room, referred);
		if (reals === undefined) return undefined;
		planned.push({
			wish: service,
			place: {
				number: place.number,
				first: place.first,
				room: place.room,
				seed: seedOf(service),
				affinity: service.affinity,
				since: own?.since ?? 0,
				changed: own?.changed ?? 0,
			},
			reals,
			leaving: own === undefined ? [] : leavingOf(own, service),
			isCurrent: own !== undefined,
		});
	}
	return planned;
}

function leavingOf({ reals }: CurrentService, wish: BalancedService) {
	const wanted = new Set(wish.reals.map(({ address }) => address.text));
	return reals.filter(({ entry }) => !wanted.has(entry.address.text));
}

/** A known real keeps its number; a new one gets a number that no real has and no slot refers to. */
function placeReals(
	wish: BalancedService,
	own: CurrentService | undefined,
	room: number,
	referred: Referred,
): readonly PlannedReal[] | undefined {
	const taken = new Set(own?.reals.map(({ index }) => index));
	const numbered = new Map(own?.reals.map((one) => [one.entry.address.text, one]));
	const hasNew = own !== undefined && wish.reals.some(({ address }) => !numbered.has(address.text));
	if (hasNew) for (const index of referred(own)) taken.add(index);
	let next = 0;
	const placed: PlannedReal[] = [];
	for (const real of wish.reals) {
		const current = numbered.get(real.address.text);
		if (current !== undefined) {
			if (current.index >= room) return undefined;
			placed.push({ real, index: current.index, current: current.entry });
			continue;
		}
		while (taken.has(next)) next++;
		if (next >= room) return undefined;
		taken.add(next);
		placed.push({ real, index: next });
	}
	return placed;
}

function rowsOf(
	wish: BalanceWish,
	planned: readonly PlannedService[],
	{ bleach }: PlanOptions,
): readonly VipRow[] {
	const services = planned.map(({ wish: { address, protocol, port }, place }): VipRow => {
		return { kind: "service", address, protocol, port, place };
	});
	const vips = wish.addresses.map(({ address, echo }): VipRow => {
		const first = planned.find(({ wish: service }) => sameAddress(service.address, address));
		return { kind: "vip", address, echo, ...(first === undefined ? {} : { place: first.place }) };
	});
	const vipTexts = new Set(wish.addresses.map(({ address }) => address.text));
	const reals = bleach
		? [...codesByReal(wish).values()]
				.filter(({ address }) => !vipTexts.has(address.text))
				.map(({ address, codes }): VipRow => ({ kind: "real", address, codes }))
		: [];
	return [...services, ...vips, ...reals];
}

/** True if two VIP tables differ at most in the times of their transitions, so that no new table is needed. */
export function sameRows(a: readonly VipRow[], b: readonly VipRow[]): boolean {
	if (a.length !== b.length) return false;
	const texts = (rows: readonly VipRow[]) => rows.map(textOf).sort().join("\n");
	return texts(a) === texts(b);
}

function textOf(row: VipRow): string {
	const head = `${row.kind} ${row.address.text}`;
	if (row.kind === "real") return `${head} ${row.codes}`;
	const { place } = row;
	const where =
		place === undefined ? "" : `${place.number} ${place.first} ${place.room} ${place.seed} ${place.affinity}`;
	return row.kind === "vip" ? `${head} ${row.echo} ${where}` : `${head} ${row.protocol} ${row.port} ${where}`;
}
