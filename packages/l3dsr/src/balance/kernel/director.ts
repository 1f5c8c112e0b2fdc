/**
 * The director as it runs in the kernel: programs at interfaces, and the tables that they share. The process that changes
 * it may come and go: what is here is found again by the next one.
 */
import { LARGEST_ARRAY_VALUE_BEFORE_6_0, probeFeature } from "@l3dsr/bpf";
import { interfaceByName, listInterfaces, waitForGracePeriod } from "@l3dsr/linux";
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
import { ALWAYS_TICKS, REASON_SLOTS } from "../tables/layout.ts";
import { planTables } from "../tables/plan.ts";
import type { StandingPlace } from "../tables/state.ts";
import { endTransition, isInTransition, referredReals, writeSlots } from "../transition.ts";
import { type Attachment, findAttachments, mapsOf } from "./attachments.ts";
import { Change, type ChangeInput, movable } from "./change.ts";
import { currentTick, ticksBetween } from "./clock.ts";
import { Drains } from "./drains.ts";
import { explainFrame } from "./explain.ts";
import { isSettled, type MovableService, moveService, type ServiceChange } from "./move-service.ts";
import { type ResolvedHops, resolveHops, sameHop, waysOf } from "./next-hops.ts";
import { planChange, planStop } from "./plan-change.ts";
import { refuse } from "./settings.ts";
import { SharedTables } from "./shared-tables.ts";
import { type DirectorStatus, serviceStatus } from "./status.ts";

export interface DirectorChange {
	/** Those that have been looked at; of a change of health, those that it is about. */
	readonly services: readonly ServiceChange[];
	/** Interfaces at which a program was put in place or replaced, and from which one was taken. */
	readonly attached: readonly string[];
	readonly detached: readonly string[];
	/** Real servers to which its next hop is unknown yet, or no route leads. */
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
	/** Somebody runs health checks on this host: what is new waits for its first success. Default: false. */
	readonly checked?: boolean;
	/** Of a process that opens the director again and again: a ring takes milliseconds. Default: its own. */
	readonly rings?: RingCache;
}

export class Director implements Disposable {
	#tables: SharedTables | undefined;
	#attachments: readonly Attachment[];
	readonly #rings: RingCache;
	readonly #drains = new Drains();
	#settings: DirectorSettings | undefined;
	/** What was applied last, for changes that are of health alone. */
	#last: Applied | undefined;

	/** Why the tables of what runs cannot be read: another version made them. It can be taken away all the same. */
	#foreign: L3dsrError | undefined;

	/** Somebody runs health checks on this host. */
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
	 * Takes over what runs in this namespace, which may be nothing. What another version made has no services here; `plan`
	 * and `apply` throw DATAPATH_FOREIGN for it, and `detach` takes it away. Throws KERNEL_*.
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

	/** Those of the programs that are attached; what was known before stays where no program is. */
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

	/** Whether a program is attached. */
	get isRunning(): boolean {
		return this.#attachments.length > 0;
	}

	/**
	 * Makes the kernel direct as `wish` says. Every packet meets the old state or the new one, slot by slot. Throws
	 * KERNEL_*; then programs and tables are as they were.
	 */
	apply(wish: BalanceWish, settings: DirectorSettings): DirectorChange {
		return this.#applyHealth(wish, settings) ?? this.#applyAll(wish, settings);
	}

	/**
	 * What `apply` would do, with what is due besides: next hops and the ends of drains. Writes nothing, and does not ask
	 * the kernel to look for neighbours. Throws what `apply` would throw before it changes anything.
	 */
	plan(wish: BalanceWish, settings: DirectorSettings): DirectorPlan {
		this.#findAgain();
		this.#requireOwn();
		this.useDrains(wish);
		const input = this.#input(wish, settings, { asks: false });
		const [tables, attachments, rings] = [this.#tables, this.#attachments, this.#rings];
		const hops = tables === undefined ? [] : this.#otherHops(input.hops);
		return {
			...planChange({ ...input, tables, attachments, rings }),
			hops: hops.length,
			drainsOver: tables === undefined ? 0 : this.#drains.over(tables, currentTick()).length,
		};
	}

	/** What `detach` would do. */
	planDetach(): DirectorPlan {
		this.#findAgain();
		return planStop(this.#attachments, this.isRunning ? (this.#tables?.services() ?? []) : []);
	}

	/**
	 * The fleet as services. Without `healthOf`, a real server of a pool with a check is as healthy as the tables say: as
	 * whoever ran the check has left it. Without a check it is healthy.
	 */
	wishFor(fleet: Fleet, healthOf: HealthOf = this.healthInTables(fleet)): BalanceWish {
		return lowerFleet(fleet, healthOf);
	}

	/** As whoever ran the checks last has left it; for checks that begin, and whoever runs none. */
	healthInTables(fleet: Fleet): HealthOf {
		return healthInTables(fleet, this.#tables?.services() ?? [], { checked: this.#checked });
	}

	/** How long the services of `wish` drain: for `endDrains` in a process that applies nothing. */
	useDrains(wish: Pick<BalanceWish, "services">): void {
		this.#drains.use(wish);
	}

	#input(wish: BalanceWish, settings: DirectorSettings, { asks }: { readonly asks: boolean }): ChangeInput {
		const all = listInterfaces();
		const interfaces = settings.interfaces.map(
			(name) => all.find((one) => one.name === name) ?? interfaceByName(name),
		);
		for (const on of interfaces) refuse(on, settings);
		const standing = this.#tables?.services() ?? [];
		const plan = planTables(wish, standing, this.#tables?.capacity, {
			bleach: settings.bleach,
			largestTable,
			referred: ({ number }) => referredReals(this.#need().rings(number)),
		});
		const addresses = [
			...wish.services.flatMap(({ reals }) => reals.map(({ address }) => address)),
			...standing.flatMap(({ reals }) => reals.map(({ entry }) => entry.address)),
		];
		const hops = resolveHops(addresses, { ...waysOf(settings), interfaces, all, asks });
		return { plan, wish, settings, interfaces, hops };
	}

	/** The next `apply` looks at everything again: for when somebody else has changed programs or interfaces. */
	lookAgain(): void {
		this.#last = undefined;
	}

	/** Undefined when the wish differs from the one before in more than who is healthy, or another process has been here. */
	#applyHealth(wish: BalanceWish, settings: DirectorSettings): DirectorChange | undefined {
		const [tables, last] = [this.#tables, this.#last];
		if (tables === undefined || last === undefined || tables.reals.stamp !== last.stamp) return undefined;
		if (!this.#isStanding()) return undefined;
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
		this.#writeHops(hops);
		tables.reals.touch();
		this.#last = { wish, settings, services: plan.services.map(movable), stamp: tables.reals.stamp };
		return { services, attached, detached, unresolved: hops.unresolved, unreachable: hops.unreachable };
	}

	/**
	 * Looks up the way to every real server again: for whenever routes, neighbours or interfaces have changed, and once in
	 * a while, so that the kernel keeps its neighbours fresh. Throws KERNEL_*.
	 */
	refreshNextHops(): Pick<DirectorChange, "unresolved" | "unreachable"> & { readonly changed: number } {
		const hops = this.#lookUpHops();
		if (hops === undefined) return { unresolved: [], unreachable: [], changed: 0 };
		return { unresolved: hops.unresolved, unreachable: hops.unreachable, changed: this.#writeHops(hops) };
	}

	/**
	 * Whether `refreshNextHops` or `endDrains` would write something: for who would have to take a lock for it. The kernel
	 * is asked to look for neighbours, as by `refreshNextHops`. Throws KERNEL_*.
	 */
	needsUpkeep(now = currentTick()): boolean {
		const hops = this.#lookUpHops();
		if (hops === undefined) return false;
		const tables = this.#need();
		const hasLeft = tables.places().some((place) => tables.reals.hasLeft(place));
		return hasLeft || this.#drains.over(tables, now).length > 0 || this.#otherHops(hops).length > 0;
	}

	/** Undefined where nothing runs that the ways are for. */
	#lookUpHops(): ResolvedHops | undefined {
		const settings = this.#settings ?? this.#standingSettings();
		if (this.#tables === undefined || settings === undefined) return undefined;
		const all = listInterfaces();
		const addresses = this.#tables.services().flatMap(({ reals }) => reals.map(({ entry }) => entry.address));
		const interfaces = all.filter(({ name }) => settings.interfaces.includes(name));
		return resolveHops(addresses, { ...waysOf(settings), interfaces, all, asks: true });
	}

	/** Ends the transitions whose drain is over, and gives free the numbers of reals that have left. Gives how many ended. */
	endDrains(now = currentTick()): number {
		const tables = this.#tables;
		if (tables === undefined) return 0;
		const over = this.#drains.over(tables, now);
		for (const { number } of over) {
			const rings = tables.rings(number);
			writeSlots(rings, endTransition(rings));
		}
		for (const place of tables.places()) if (tables.reals.hasLeft(place)) this.#freeLeft(place, now);
		return over.length;
	}

	/** What runs, what it has, and what it counted. */
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
			// One for each key of REASONS.
			reasons: Object.fromEntries(
				Object.entries(REASONS).map(([reason, { slot }]) => [reason, packets(slot)]),
			) as Record<Reason, bigint>,
		};
	}

	/**
	 * What the program at an interface does with a frame that arrives there now, and how its real server is found. Undefined
	 * where no program of ours is attached. Nothing is changed by asking.
	 */
	explain(frame: Uint8Array, interfaceName: string, now = currentTick()): OracleResult | undefined {
		const attachment = this.#attachments.find(({ interface: { name } }) => name === interfaceName);
		if (attachment?.settings === undefined || this.#tables === undefined) return undefined;
		return explainFrame(frame, this.#tables, attachment.settings, now);
	}

	/** Takes every program away; the tables go with the last of them. Throws KERNEL_*. */
	detach(): readonly string[] {
		const detached = this.#attachments.map(({ interface: { name } }) => name);
		for (const { hook, interface: on, program } of this.#attachments)
			withoutVanished(() => PLACES[hook].detach(on, program.info.id));
		this[Symbol.dispose]();
		return detached;
	}

	/** Lets go of the descriptors; what is attached runs on. */
	[Symbol.dispose](): void {
		for (const attachment of this.#attachments) attachment[Symbol.dispose]();
		this.#attachments = [];
		this.#last = undefined;
		this.#tables?.[Symbol.dispose]();
		this.#tables = undefined;
	}

	/** For a process that keeps this: another one may have replaced programs and tables, or have taken them away. */
	findAgain(): void {
		if (this.#attachments.length > 0 && this.#isStanding()) return;
		this.#findAgain();
		// What it is told to do may be something else by now.
		this.#settings = undefined;
	}

	/** What is attached now, and its tables: in the meantime another process may have been here. */
	#findAgain(): void {
		const before = this.#attachments;
		this.#attachments = findAttachments();
		for (const attachment of before) attachment[Symbol.dispose]();
		this.#readTables();
	}

	/** Whether the programs that this process knows are those that run. */
	#isStanding(): boolean {
		return this.#attachments.every(
			({ hook, interface: on, program }) =>
				withoutVanished(() => PLACES[hook].query(on))?.includes(program.info.id) === true,
		);
	}

	#need(): SharedTables {
		if (this.#tables === undefined) throw new RangeError("the director has no tables");
		return this.#tables;
	}

	/** How the running programs were told to work, for a process that has not applied anything yet. */
	#standingSettings(): Pick<DirectorSettings, "interfaces" | "hook" | "forward" | "vlan"> | undefined {
		const [first] = this.#attachments;
		if (first?.settings === undefined) return undefined;
		const { hook, forward, vlan } = first.settings;
		return {
			interfaces: this.#attachments.map(({ interface: { name } }) => name),
			hook: hook === "tc" ? "tc" : first.hook === "xdp-generic" ? "xdp-generic" : "xdp",
			forward,
			...(vlan === undefined ? {} : { vlan }),
		};
	}

	/** All that change at once: one wait for the programs to have left the old ones. */
	#writeHops(hops: Pick<ResolvedHops, "hopOf">): number {
		const tables = this.#need();
		const changes = this.#otherHops(hops);
		const used = changes.filter(({ entry }) => entry.hop.to === "interface");
		for (const { number } of used) tables.reals.clearHop(number);
		if (used.length > 0) waitForGracePeriod();
		for (const { number, entry, hop } of changes) tables.reals.setHop(number, entry, hop);
		return changes.length;
	}

	/** Entries whose next hop is another one than in the tables. */
	#otherHops({ hopOf }: Pick<ResolvedHops, "hopOf">) {
		return this.#need()
			.services()
			.flatMap(({ first, reals }) =>
				reals.flatMap(({ index, entry }) => {
					const hop = hopOf(entry.address);
					return sameHop(hop, entry.hop) ? [] : [{ number: first + index, entry, hop }];
				}),
			);
	}

	#freeLeft(place: StandingPlace, now: number): void {
		const tables = this.#need();
		const { number, first } = place;
		if (isInTransition(tables.rings(number))) return;
		const left = tables.reals.of(place).filter(({ entry }) => entry.left !== undefined);
		const referred = referredReals(tables.rings(number));
		const remembersAlways = this.#attachments.some(({ settings }) => settings?.flows === "always");
		for (const { index, entry } of left) {
			const isOld = ticksBetween(entry.left ?? 0, now) > ALWAYS_TICKS;
			if (referred.has(index) || (remembersAlways && !isOld)) continue;
			tables.reals.free(first + index);
			tables.reals.touch();
		}
	}
}

/** In bytes. */
function largestTable(): number {
	return probeFeature("largeArrayValues").answer === "no"
		? LARGEST_ARRAY_VALUE_BEFORE_6_0
		: Number.POSITIVE_INFINITY;
}

/** Of programs after a change that was cut off, some may have older tables: the newest have everything. */
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
