/**
 * The director as it runs in the kernel: programs at interfaces, and the tables that they share. Its processes may
 * come and go: each finds the running director again.
 */
import { LARGEST_ARRAY_VALUE_BEFORE_6_0, probeFeature } from "@l3dsr/bpf";
import { interfaceByName, listInterfaces } from "@l3dsr/linux";
import type { Address } from "@l3dsr/packet";
import { L3dsrError } from "../../errors.ts";
import type { DirectorSettings, HealthOf } from "../../model/director.ts";
import type { DirectorPlan } from "../../model/director-plan.ts";
import type { Fleet } from "../../model/fleet.ts";
import type { Counters } from "../../model/rule.ts";
import { PLACES, withoutVanished } from "../../rewrite/ebpf/kernel/attachment.ts";
import type { OracleResult } from "../oracle/oracle.ts";
import { REASONS, type Reason } from "../reason.ts";
import { RingCache } from "../ring-cache.ts";
import { type BalanceWish, lowerFleet, sameShape } from "../service.ts";
import { healthInTables } from "../tables/health-in-tables.ts";
import { REASON_SLOTS } from "../tables/layout.ts";
import { planTables } from "../tables/plan.ts";
import type { CurrentService } from "../tables/state.ts";
import { referredReals } from "../transition.ts";
import { type Attachment, findAttachments, mapsOf } from "./attachments.ts";
import { Change, type ChangeInput, movable } from "./change.ts";
import { currentTick } from "./clock.ts";
import { Drains } from "./drains.ts";
import { explainFrame } from "./explain.ts";
import { isSettled, type MovableService, moveService, type ServiceChange } from "./move-service.ts";
import { type ResolvedHops, resolveHops, waysOf } from "./next-hops.ts";
import { planChange, planStop } from "./plan-change.ts";
import { refuse } from "./settings.ts";
import { SharedTables } from "./shared-tables.ts";
import { type DirectorStatus, serviceStatus } from "./status.ts";
import { outdatedHops, writeHops } from "./table-hops.ts";

export interface DirectorChange {
	/** The services that were updated; after a change of health alone, only the affected ones. */
	readonly services: readonly ServiceChange[];
	/** Interfaces at which a program was attached or replaced, and those at which one was detached. */
	readonly attached: readonly string[];
	readonly detached: readonly string[];
	/** Real servers whose next hop is not known yet, and those without a route. */
	readonly unresolved: readonly Address[];
	readonly unreachable: readonly Address[];
}

interface Applied {
	readonly wish: BalanceWish;
	readonly settings: DirectorSettings;
	readonly services: readonly MovableService[];
	readonly stamp: bigint;
}

export interface DirectorOptions {
	/** Health checks run on this host, so new real servers wait for their first success. Default: false. */
	readonly checked?: boolean;
	/**
	 * Rings to reuse, for a process that opens the director repeatedly: computing one takes milliseconds. Default: a
	 * new cache.
	 */
	readonly rings?: RingCache;
}

export class Director implements Disposable {
	#tables: SharedTables | undefined;
	#attachments: readonly Attachment[];
	readonly #rings: RingCache;
	readonly #drains = new Drains();
	#settings: DirectorSettings | undefined;
	/** The last change, reused while only health changes. */
	#last: Applied | undefined;

	/** Set if another version made the running tables, so that they cannot be read. `detach` still works. */
	#foreign: L3dsrError | undefined;

	/** Health checks run on this host. */
	readonly #checked: boolean;

	private constructor(
		attachments: readonly Attachment[],
		{ checked = false, rings = new RingCache() }: DirectorOptions,
	) {
		this.#attachments = attachments;
		this.#checked = checked;
		this.#rings = rings;
	}

	/**
	 * Takes over what runs in this namespace, if anything. If another version made it, the director has no services;
	 * `plan` and `apply` throw DATAPATH_FOREIGN, and `detach` removes it. Throws KERNEL_*.
	 */
	static open(options: DirectorOptions = {}): Director {
		const director = new Director(findAttachments(), options);
		try {
			director.#readTables();
			return director;
		} catch (error) {
			director[Symbol.dispose]();
			throw error;
		}
	}

	/** Reads the tables of the attached programs; without a program, keeps the known tables. */
	#readTables(): void {
		try {
			this.#foreign = undefined;
			const tables = newestTables(this.#attachments);
			if (tables === undefined) return;
			this.#tables?.[Symbol.dispose]();
			this.#tables = tables;
		} catch (error) {
			if (!(error instanceof L3dsrError) || error.code !== "DATAPATH_FOREIGN") throw error;
			this.#foreign = error;
			this.#tables?.[Symbol.dispose]();
			this.#tables = undefined;
		}
	}

	#requireOwn(): void {
		if (this.#foreign !== undefined) throw this.#foreign;
	}

	/** True if a program is attached. */
	get isRunning(): boolean {
		return this.#attachments.length > 0;
	}

	/**
	 * Makes the kernel direct as `wish` says. Every packet meets either the old state or the new one, slot by slot.
	 * Throws KERNEL_*; programs and tables are then unchanged.
	 */
	apply(wish: BalanceWish, settings: DirectorSettings): DirectorChange {
		return this.#applyHealth(wish, settings) ?? this.#applyAll(wish, settings);
	}

	/**
	 * What `apply` would do, and what else is due: next hops and the ends of drains. Writes nothing, and does not make
	 * the kernel resolve neighbours. Throws what `apply` would throw before its first change.
	 */
	plan(wish: BalanceWish, settings: DirectorSettings): DirectorPlan {
		this.#findAgain();
		this.#requireOwn();
		this.useDrains(wish);
		const input = this.#input(wish, settings, { asks: false });
		const [tables, attachments, rings] = [this.#tables, this.#attachments, this.#rings];
		const hops = tables === undefined ? [] : outdatedHops(tables, input.hops);
		return {
			...planChange({ ...input, tables, attachments, rings }),
			hops: hops.length,
			drainsOver: tables === undefined ? 0 : this.#drains.over(tables, currentTick()).length,
		};
	}

	/**
	 * Everything that a plan depends on except time, routes and neighbours, which `needsUpkeep` checks. While it is
	 * unchanged, a plan without steps stays without steps. Undefined if nothing runs that can be read.
	 */
	mark(): string | undefined {
		if (this.#tables === undefined || !this.isRunning) return undefined;
		const programs = this.#attachments.map(({ hook, interface: on, program, behind }) => [
			on.index,
			hook,
			program.info.id,
			behind,
		]);
		return `${JSON.stringify(programs)} ${this.#tables.contents()}`;
	}

	/** What `detach` would do. */
	planDetach(): DirectorPlan {
		this.#findAgain();
		return planStop(this.#attachments, this.isRunning ? (this.#tables?.services() ?? []) : []);
	}

	/**
	 * The fleet as services. Without `healthOf`, a real server of a pool with a check has the health in the tables, as
	 * the last process that ran checks left it. A real server without a check is healthy.
	 */
	wishFor(fleet: Fleet, healthOf: HealthOf = this.healthInTables(fleet)): BalanceWish {
		return lowerFleet(fleet, healthOf, this.#last?.wish);
	}

	/**
	 * The health that the last process with checks left in the tables; for checks that begin, and for processes without
	 * checks.
	 */
	healthInTables(fleet: Fleet): HealthOf {
		return healthInTables(fleet, this.#tables?.services() ?? [], { checked: this.#checked });
	}

	/** Sets the drains of the services of `wish`, for a process that calls `endDrains` but never `apply`. */
	useDrains(wish: Pick<BalanceWish, "services">): void {
		this.#drains.use(wish);
	}

	#input(wish: BalanceWish, settings: DirectorSettings, { asks }: { readonly asks: boolean }): ChangeInput {
		const all = listInterfaces();
		const interfaces = settings.interfaces.map(
			(name) => all.find((one) => one.name === name) ?? interfaceByName(name),
		);
		for (const on of interfaces) refuse(on, settings);
		const current = this.#tables?.services() ?? [];
		const plan = planTables(wish, current, this.#tables?.capacity, {
			bleach: settings.bleach,
			largestTable,
			referred: ({ number }) => referredReals(this.#need().rings(number)),
		});
		const addresses = [
			...wish.services.flatMap(({ reals }) => reals.map(({ address }) => address)),
			...current.flatMap(({ reals }) => reals.map(({ entry }) => entry.address)),
		];
		const hops = resolveHops(addresses, { ...waysOf(settings), interfaces, all, asks });
		return { plan, wish, settings, interfaces, hops };
	}

	/** Makes the next `apply` look at everything again, because somebody else has changed programs or interfaces. */
	lookAgain(): void {
		this.#last = undefined;
	}

	/**
	 * Applies a change of health alone. Undefined if the wish differs in more than that, or if another process has
	 * changed something.
	 */
	#applyHealth(wish: BalanceWish, settings: DirectorSettings): DirectorChange | undefined {
		const [tables, last] = [this.#tables, this.#last];
		if (tables === undefined || last === undefined || tables.reals.stamp !== last.stamp) return undefined;
		if (!this.#isAttached()) return undefined;
		if (JSON.stringify(settings) !== JSON.stringify(last.settings) || !sameShape(wish, last.wish))
			return undefined;
		const how = { remember: settings.flows !== "none", now: currentTick() };
		const services = last.services.flatMap((service, n) => {
			const [own, before] = [wish.services[n], last.wish.services[n]];
			if (own === undefined || before === undefined) return [];
			const wanted = { ...service, wish: own };
			return isSettled(tables, wanted, before) ? [] : [moveService(tables, this.#rings, wanted, how)];
		});
		this.#last = { ...last, wish };
		return { services, attached: [], detached: [], unresolved: [], unreachable: [] };
	}

	#applyAll(wish: BalanceWish, settings: DirectorSettings): DirectorChange {
		this.#last = undefined;
		this.#findAgain();
		this.#requireOwn();
		const input = this.#input(wish, settings, { asks: true });
		const { plan, hops } = input;
		this.#settings = settings;
		const change = new Change(this.#tables, this.#attachments, this.#rings, input);
		const { tables, attachments, services, attached, detached } = change.run();
		this.#tables = tables;
		this.#attachments = attachments;
		this.useDrains(wish);
		this.#rings.keepOnly(wish.services);
		writeHops(tables, hops);
		tables.reals.touch();
		this.#last = { wish, settings, services: plan.services.map(movable), stamp: tables.reals.stamp };
		return { services, attached, detached, unresolved: hops.unresolved, unreachable: hops.unreachable };
	}

	/**
	 * Looks up the next hop of every real server again. Call it when routes, neighbours or interfaces change, and
	 * regularly, so that the kernel keeps its neighbour entries fresh. Throws KERNEL_*.
	 */
	refreshNextHops(): Pick<DirectorChange, "unresolved" | "unreachable"> & { readonly changed: number } {
		const hops = this.#lookUpHops();
		if (hops === undefined) return { unresolved: [], unreachable: [], changed: 0 };
		const { unresolved, unreachable } = hops;
		return { unresolved, unreachable, changed: writeHops(this.#need(), hops) };
	}

	/**
	 * Whether `refreshNextHops` or `endDrains` would write something, and so needs the lock. Makes the kernel resolve
	 * neighbours, like `refreshNextHops`. Throws KERNEL_*.
	 */
	needsUpkeep(now = currentTick()): boolean {
		const hops = this.#lookUpHops();
		if (hops === undefined) return false;
		const tables = this.#need();
		return this.#drains.isDue(tables, now) || outdatedHops(tables, hops, hops.services).length > 0;
	}

	/** Undefined if nothing runs that needs next hops. */
	#lookUpHops(): (ResolvedHops & { readonly services: readonly CurrentService[] }) | undefined {
		const settings = this.#settings ?? this.#currentSettings();
		if (this.#tables === undefined || settings === undefined) return undefined;
		const all = listInterfaces();
		const services = this.#tables.services();
		const addresses = services.flatMap(({ reals }) => reals.map(({ entry }) => entry.address));
		// Not by name: an interface may have been renamed, or configured by another of its names.
		const interfaces = all.filter(({ index }) =>
			this.#attachments.some((one) => one.interface.index === index),
		);
		return { ...resolveHops(addresses, { ...waysOf(settings), interfaces, all, asks: true }), services };
	}

	/**
	 * Ends the transitions whose drain is over, and frees the numbers of removed reals. Returns how many transitions
	 * ended.
	 */
	endDrains(now = currentTick()): number {
		const tables = this.#tables;
		if (tables === undefined) return 0;
		const remembersAlways = this.#attachments.some(({ settings }) => settings?.flows === "always");
		return this.#drains.end(tables, { now, remembersAlways });
	}

	/** What is attached, what it serves and what it has counted. */
	status(now = currentTick()): DirectorStatus {
		const tables = this.#tables;
		const services = tables?.services() ?? [];
		const numbers = services.flatMap(({ first, reals }) => reals.map(({ index }) => first + index));
		const counters =
			tables?.counters([...Array(REASON_SLOTS).keys(), ...numbers]) ?? new Map<number, Counters>();
		const packets = (number: number) => counters.get(number)?.packets ?? 0n;
		return {
			programs: this.#attachments.map(({ interface: on, hook, program, settings }) => ({
				interface: on.name,
				hook,
				id: program.info.id,
				...(settings === undefined ? {} : { settings }),
			})),
			services: services.map((service) =>
				serviceStatus(service, this.#need().rings(service.number), counters, now),
			),
			// one for each key of REASONS
			reasons: Object.fromEntries(
				Object.entries(REASONS).map(([reason, { slot }]) => [reason, packets(slot)]),
			) as Record<Reason, bigint>,
		};
	}

	/**
	 * What the program at an interface would do with this frame now, and how its real server is found. Undefined if no
	 * program of ours is attached. Changes nothing.
	 */
	explain(frame: Uint8Array, interfaceName: string, now = currentTick()): OracleResult | undefined {
		const attachment = this.#attachments.find(({ interface: { name } }) => name === interfaceName);
		if (attachment?.settings === undefined || this.#tables === undefined) return undefined;
		return explainFrame(frame, this.#tables, attachment.settings, now);
	}

	/** Detaches every program; the kernel frees the tables with the last one. Throws KERNEL_*. */
	detach(): readonly string[] {
		const detached = this.#attachments.map(({ interface: { name } }) => name);
		for (const { hook, interface: on, program } of this.#attachments)
			withoutVanished(() => PLACES[hook].detach(on, program.info.id));
		this[Symbol.dispose]();
		return detached;
	}

	/** Closes the descriptors; attached programs keep running. */
	[Symbol.dispose](): void {
		for (const attachment of this.#attachments) attachment[Symbol.dispose]();
		this.#attachments = [];
		this.#last = undefined;
		this.#tables?.[Symbol.dispose]();
		this.#tables = undefined;
	}

	/** For a process that keeps this object: looks again if another process has replaced or removed the programs. */
	findAgain(): void {
		if (this.#attachments.length > 0 && this.#isAttached()) return;
		this.#findAgain();
		// The other process may have used other settings.
		this.#settings = undefined;
	}

	/** Finds the attached programs and their tables again, as another process may have changed them. */
	#findAgain(): void {
		const before = this.#attachments;
		this.#attachments = findAttachments();
		for (const attachment of before) attachment[Symbol.dispose]();
		this.#readTables();
	}

	/** True if the programs that this process knows are still attached. */
	#isAttached(): boolean {
		return this.#attachments.every(
			({ hook, interface: on, program }) =>
				withoutVanished(() => PLACES[hook].query(on))?.includes(program.info.id) === true,
		);
	}

	#need(): SharedTables {
		if (this.#tables === undefined) throw new RangeError("the director has no tables");
		return this.#tables;
	}

	/** The settings of the running programs, for a process that has not applied any. */
	#currentSettings(): Pick<DirectorSettings, "hook" | "forward" | "vlan"> | undefined {
		const [first] = this.#attachments;
		if (first?.settings === undefined) return undefined;
		const { hook, forward, vlan } = first.settings;
		return {
			hook: hook === "tc" ? "tc" : first.hook === "xdp-generic" ? "xdp-generic" : "xdp",
			forward,
			...(vlan === undefined ? {} : { vlan }),
		};
	}
}

/** The most bytes that a table may have on this kernel. */
function largestTable(): number {
	return probeFeature("largeArrayValues").answer === "no"
		? LARGEST_ARRAY_VALUE_BEFORE_6_0
		: Number.POSITIVE_INFINITY;
}

/** After an interrupted change, some programs may have older tables; the newest are complete. */
function newestTables(attachments: readonly Attachment[]): SharedTables | undefined {
	let newest: SharedTables | undefined;
	try {
		for (const attachment of attachments) {
			const { program, hook, interface: on } = attachment;
			const place = `${program.name} at ${PLACES[hook].name} of ${on.name}`;
			const tables = SharedTables.open(mapsOf(attachment), place);
			const [older, newer] =
				newest === undefined || tables.generation > newest.generation ? [newest, tables] : [tables, newest];
			older?.[Symbol.dispose]();
			newest = newer;
		}
		return newest;
	} catch (error) {
		newest?.[Symbol.dispose]();
		throw error;
	}
}
