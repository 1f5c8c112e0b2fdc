/** One change of the director, from the current tables and programs to the wanted ones. */
import { Program } from "@l3dsr/bpf";
import { type NetInterface, waitForGracePeriod } from "@l3dsr/linux";
import type { DirectorSettings } from "../../model/director.ts";
import { PLACES, withoutVanished } from "../../rewrite/ebpf/kernel/attachment.ts";
import type { ProgramSettings } from "../compile/about.ts";
import { compileDirector } from "../compile/compile.ts";
import { RING_SLOTS } from "../ring.ts";
import type { RingCache } from "../ring-cache.ts";
import { type BalanceWish, keyText } from "../service.ts";
import { REASON_SLOTS } from "../tables/layout.ts";
import { type PlannedService, sameRows, type TablePlan } from "../tables/plan.ts";
import type { CurrentService } from "../tables/state.ts";
import { planVipTable } from "../tables/vip-table.ts";
import { emptyRings } from "../transition.ts";
import type { Attachment } from "./attachments.ts";
import { currentTick } from "./clock.ts";
import { carryDatagrams } from "./datagrams.ts";
import { type MovableService, moveService, type ServiceChange } from "./move-service.ts";
import type { ResolvedHops } from "./next-hops.ts";
import { isAsWanted, programSettings } from "./program-settings.ts";
import { attach, attachmentAt } from "./programs.ts";
import { PLACES_OF } from "./settings.ts";
import { type NewVipTable, SharedTables } from "./shared-tables.ts";

export interface ChangeInput {
	readonly plan: TablePlan;
	readonly wish: BalanceWish;
	readonly settings: DirectorSettings;
	readonly interfaces: readonly NetInterface[];
	readonly hops: ResolvedHops;
}

export class Change {
	readonly #current: SharedTables | undefined;
	readonly #attachments: readonly Attachment[];
	readonly #rings: RingCache;
	readonly #input: ChangeInput;
	readonly #planned: ReadonlyMap<string, PlannedService>;
	readonly #now = currentTick();

	constructor(
		current: SharedTables | undefined,
		attachments: readonly Attachment[],
		rings: RingCache,
		input: ChangeInput,
	) {
		this.#current = current;
		this.#attachments = attachments;
		this.#rings = rings;
		this.#input = input;
		this.#planned = new Map(input.plan.services.map((service) => [keyText(service.wish), service]));
	}

	run(): {
		readonly tables: SharedTables;
		readonly attachments: readonly Attachment[];
		readonly services: readonly ServiceChange[];
		readonly attached: readonly string[];
		readonly detached: readonly string[];
	} {
		const { plan } = this.#input;
		const before = this.#current?.services() ?? [];
		const isGrowing = this.#current === undefined || plan.grow !== undefined;
		const numbers = isGrowing ? this.#newNumbers(before) : new Map<number, number>();
		const grown = isGrowing ? this.#makeTables(before, numbers) : undefined;
		const tables = grown ?? this.#current;
		if (tables === undefined) throw new RangeError("no tables");
		let programs: { attached: string[]; detached: string[]; attachments: readonly Attachment[] };
		try {
			const fresh = this.#prepare(tables);
			try {
				programs = this.#putPrograms(tables, grown !== undefined);
			} catch (error) {
				tables.freeNumbers(new Set(fresh));
				throw error;
			}
		} catch (error) {
			grown?.[Symbol.dispose]();
			throw error;
		}
		if (grown !== undefined) {
			// Once more, for datagrams that began in between.
			this.#carryDatagrams(grown, numbers);
			this.#carryCounters(grown, numbers);
			this.#current?.[Symbol.dispose]();
		} else this.#forgetServices(tables, before);
		const services = plan.services.map((service) => this.#moveService(tables, service));
		return { tables, services, ...programs };
	}

	/** Makes larger tables and copies the current content; numbers within services stay the same. */
	#makeTables(before: readonly CurrentService[], numbers: ReadonlyMap<number, number>): SharedTables {
		const { plan } = this.#input;
		const capacity = plan.grow;
		if (capacity === undefined) throw new RangeError("tables of no size");
		const generation = (this.#current?.generation ?? 0n) + 1n;
		const vips = { rows: plan.rows, ...planVipTable(plan.rows), generation };
		const tables = SharedTables.create(capacity, vips, this.#current);
		const current = this.#current;
		if (current === undefined) return tables;
		for (const service of before) {
			const planned = this.#plannedOf(service);
			if (planned === undefined) continue;
			const [from, to] = [current.rings(service.number), tables.rings(planned.place.number)];
			to.before.set(from.before);
			to.now.set(from.now);
			for (const { index, entry } of service.reals) tables.reals.put(planned.place.first + index, entry);
		}
		this.#carryDatagrams(tables, numbers);
		return tables;
	}

	/** The numbers of reals in larger tables, by their current ones; without reals of removed services. */
	#newNumbers(before: readonly CurrentService[]): Map<number, number> {
		const numbers = new Map<number, number>();
		for (const service of before) {
			const place = this.#plannedOf(service)?.place;
			if (place === undefined) continue;
			for (const { index } of service.reals) numbers.set(service.first + index, place.first + index);
		}
		return numbers;
	}

	/** So that later fragments follow their first one across larger tables. */
	#carryDatagrams(tables: SharedTables, numbers: ReadonlyMap<number, number>): void {
		if (this.#current !== undefined) carryDatagrams(this.#current.datagrams(), tables.datagrams(), numbers);
	}

	#plannedOf(service: CurrentService): PlannedService | undefined {
		return this.#planned.get(keyText(service));
	}

	/**
	 * Writes what nothing refers to yet: new reals, and the rings of new services. Returns the numbers of the new
	 * reals.
	 */
	#prepare(tables: SharedTables): number[] {
		const fresh: number[] = [];
		for (const { wish, place, reals, isCurrent } of this.#input.plan.services) {
			for (const { real, index, current } of reals) {
				if (current !== undefined) continue;
				const number = place.first + index;
				const counted = tables.counted(number);
				tables.reals.put(number, {
					address: real.address,
					dscp: wish.dscp,
					up: real.carries,
					health: real.health,
					hop: this.#input.hops.hopOf(real.address),
					base: { packets: -counted.packets, bytes: -counted.bytes },
				});
				fresh.push(number);
			}
			if (isCurrent) continue;
			const rings = tables.rings(place.number);
			const empty = emptyRings();
			rings.now.set(empty.now);
			rings.before.set(empty.before);
			rings.now.set(
				this.#rings.target(
					wish,
					reals.map(({ index }) => index),
				),
			);
		}
		return fresh;
	}

	/** Replaces the program of each interface that needs another one: on all of them, or on none. */
	#putPrograms(tables: SharedTables, isNew: boolean) {
		const { plan, interfaces, settings } = this.#input;
		const others = isNew || sameRows(plan.rows, tables.vipTable().rows) ? undefined : this.#otherVips(tables);
		using _others = others;
		const attached: string[] = [];
		const detached: string[] = [];
		const attachments: Attachment[] = [];
		const undo: (() => void)[] = [];
		const loaded: Program[] = [];
		try {
			for (const on of interfaces) {
				const places = PLACES_OF[settings.hook];
				const here = this.#attachments.filter((one) => one.interface.index === on.index);
				const current = here.find((one) => places.includes(one.hook));
				const wanted = programSettings(on, settings, this.#input.wish);
				if (!isNew && others === undefined && isAsWanted(current, wanted)) {
					attachments.push(current);
					continue;
				}
				const program = this.#load(tables, wanted, others);
				loaded.push(program);
				const elsewhere = here.filter((one) => one !== current);
				const hook = attach(on, program, { current, elsewhere }, places, undo);
				attachments.push(attachmentAt(hook, on, program, wanted));
				attached.push(on.name);
			}
		} catch (error) {
			takeBack(undo);
			for (const program of loaded) program[Symbol.dispose]();
			throw error;
		}
		for (const old of this.#attachments) {
			if (attachments.includes(old)) continue;
			const isHere = withoutVanished(() => PLACES[old.hook].query(old.interface))?.includes(
				old.program.info.id,
			);
			if (isHere === true) {
				withoutVanished(() => PLACES[old.hook].detach(old.interface, old.program.info.id));
				detached.push(old.interface.name);
			}
			old[Symbol.dispose]();
		}
		if (attached.length > 0) waitForGracePeriod();
		others?.adopt();
		return { attached, detached, attachments };
	}

	#otherVips(tables: SharedTables): NewVipTable {
		const { rows } = this.#input.plan;
		return tables.makeVips(rows, planVipTable(rows));
	}

	#load(tables: SharedTables, settings: ProgramSettings, vips: NewVipTable | undefined): Program {
		const { capacity } = tables;
		const table = vips?.table ?? tables.vipTable();
		const spec = compileDirector({
			...settings,
			...capacity,
			vipBits: table.bits,
			multiplier: table.multiplier,
		});
		const maps = tables.maps();
		if (vips !== undefined) maps.set(vips.map.info.name, vips.map);
		return Program.load(spec, { maps });
	}

	/** Starts each counter of the new tables at the old one's final value, including what was counted until the swap. */
	#carryCounters(tables: SharedTables, numbers: ReadonlyMap<number, number>): void {
		const ended = this.#current?.counters([...Array(REASON_SLOTS).keys(), ...numbers.keys()]);
		if (ended === undefined) return;
		const carry = (from: number, to: number) => {
			const total = ended.get(from);
			if (total !== undefined) tables.reals.setBase(to, total);
		};
		for (let slot = 0; slot < REASON_SLOTS; slot++) carry(slot, slot);
		for (const [from, to] of numbers) carry(from, to);
	}

	/** Frees the numbers of removed services; no program refers to them any more. */
	#forgetServices(tables: SharedTables, before: readonly CurrentService[]): void {
		const gone = before.filter((service) => this.#plannedOf(service) === undefined);
		tables.freeNumbers(new Set(gone.flatMap(({ first, reals }) => reals.map(({ index }) => first + index))));
	}

	/** Updates a service that is in the tables already: the marks of its reals, then its slots. */
	#moveService(tables: SharedTables, planned: PlannedService): ServiceChange {
		const { wish, place, reals, leaving, isCurrent } = planned;
		const { address, protocol, port } = wish;
		if (!isCurrent) return { service: { address, protocol, port }, moved: RING_SLOTS, inTransition: false };
		for (const { index, current } of reals) {
			if (current === undefined) continue;
			const number = place.first + index;
			if (current.dscp !== wish.dscp) tables.reals.setDscp(number, wish.dscp, address.family);
			if (current.left !== undefined) tables.reals.setLeft(number, 0);
		}
		for (const { index, entry } of leaving) {
			const number = place.first + index;
			if (entry.left === undefined) tables.reals.setLeft(number, Math.max(1, this.#now));
			if (entry.dscp !== wish.dscp) tables.reals.setDscp(number, wish.dscp, address.family);
		}
		const remember = this.#input.settings.flows !== "none";
		return moveService(tables, this.#rings, movable(planned), { remember, now: this.#now });
	}
}

/** Undoes the steps, last one first; a failed undo does not stop the others. */
function takeBack(undo: readonly (() => void)[]): void {
	for (const step of [...undo].reverse()) {
		try {
			step();
		} catch {
			// The original error says what failed; the next look at the kernel shows what runs.
		}
	}
}

export function movable({ wish, place, reals, leaving }: PlannedService): MovableService {
	return {
		wish,
		place,
		indexes: reals.map(({ index }) => index),
		leaving: leaving.map(({ index }) => index),
	};
}
