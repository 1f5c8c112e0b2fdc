/**
 * Plans a change: from a table as listed and the rules that should be in it, to transactions. What is already right
 * stays, so its counters go on and no packet misses it.
 *
 * A transaction is atomic for a packet that looks at one chain, but not for one that has read the old rules and then
 * looks up a map: it sees the map's elements of the new generation. So if rules around a map change, the maps of the
 * old rules keep their elements until these rules are gone, and the new rules' maps are filled before the rules are
 * added: prepare, swap, clean up. After each of the three, either the old rules or the new ones are in force.
 */
import { type Command, type SetElement, sameBytes } from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";
import { CHAINS, type Counters, type Rule, sameRule, ZERO_COUNTERS } from "../../../model/rule.ts";
import type { RuleEntry } from "../../../model/ruleset.ts";
import type { ObservedRule } from "../../datapath.ts";
import {
	type ChainItems,
	chainName,
	compileTable,
	deservesLookup,
	type FoldedItem,
	foldEntries,
	sameShape,
} from "./compile.ts";
import { doesSame, RulePool } from "./identity.ts";
import type { ListedChain, ListedMap, ListedRule, TableListing } from "./listing.ts";
import type { TableReading } from "./observe.ts";
import {
	type ChainSpec,
	type ElementSpec,
	type MapSpec,
	type RuleSpec,
	ruleExpressions,
	type TableSpec,
	tableOf,
} from "./table.ts";

/** Each list is one transaction; an empty list is skipped. */
export interface Change {
	readonly prepare: readonly Command[];
	readonly swap: readonly Command[];
	readonly cleanUp: readonly Command[];
	/** Removes what `prepare` made, if `swap` fails. */
	readonly undo: readonly Command[];
}

/** A table, as observed. */
export interface CurrentTable {
	readonly listing: TableListing;
	readonly reading: TableReading;
}

/** What the running kernel supports. */
export interface KernelFacts {
	/** Map elements can have counters (Linux 5.7). Otherwise each rule stays a separate rule. */
	readonly countersInMaps: boolean;
}

/** What one family's table should hold. */
export interface TableWish {
	readonly entries: readonly RuleEntry[];
	/** Rules of programs whose answers this table translates back. */
	readonly answered?: readonly Rule[];
}

/** `current`: undefined if there is no table. */
export function planChange(
	family: Family,
	{ entries, answered = [] }: TableWish,
	current: CurrentTable | undefined,
	kernel: KernelFacts = { countersInMaps: true },
): Change {
	const plan = new ChangePlan(family);
	const kept = keepCounters(entries, current?.reading.rules ?? []);
	const wish = { entries: kept.entries, answered };
	const spec = compileEntries(family, wish, current, kernel, new Set());
	if (spec === undefined) {
		if (current !== undefined) plan.deleteTable();
		return plan;
	}
	if (current === undefined) plan.create(spec);
	else if (mustRebuild(current, spec)) {
		plan.deleteTable();
		plan.create(spec);
	} else {
		const renewed = mapsToRenew(current.listing, spec);
		const final = renewed.size === 0 ? spec : compileEntries(family, wish, current, kernel, renewed);
		plan.update(current.listing, final ?? spec, kept.reset);
	}
	return plan;
}

/** Sets each entry's initial counters; `reset`: the keys of entries whose counters must start again. */
function keepCounters(
	entries: readonly RuleEntry[],
	observed: readonly ObservedRule[],
): { entries: RuleEntry[]; reset: Set<string> } {
	const current = new Map(observed.map((one) => [entryKey(one), one]));
	const reset = new Set<string>();
	const counted = entries.map((entry): RuleEntry => {
		const old = current.get(entryKey(entry));
		const same = old !== undefined && sameRule(old.rule, entry.rule) ? old.counters : undefined;
		if (entry.counters !== undefined && same !== undefined && !sameCounters(entry.counters, same)) {
			reset.add(entryKey(entry));
		}
		return { ...entry, counters: entry.counters ?? same ?? ZERO_COUNTERS };
	});
	return { entries: counted, reset };
}

function entryKey({ rule, ordinal }: Pick<RuleEntry, "rule" | "ordinal">): string {
	return `${chainName(rule.table, rule.chain)} ${ordinal}`;
}

function sameCounters(a: Counters, b: Counters): boolean {
	return a.packets === b.packets && a.bytes === b.bytes;
}

/** `fresh`: names of maps that must not be reused. */
function compileEntries(
	family: Family,
	{ entries, answered }: Required<TableWish>,
	current: CurrentTable | undefined,
	{ countersInMaps }: KernelFacts,
	fresh: ReadonlySet<string>,
): TableSpec | undefined {
	const free = freeNames(new Set(current?.listing.maps.keys() ?? []));
	const chains: ChainItems[] = [];
	for (const table of ["raw", "mangle"] as const) {
		for (const chain of CHAINS[table]) {
			const own = entries
				.filter(({ rule }) => rule.table === table && rule.chain === chain)
				.sort((a, b) => a.ordinal - b.ordinal);
			const name = chainName(table, chain);
			const old = (current?.reading.lookups.get(name) ?? []).filter(({ map }) => !fresh.has(map));
			const items = foldEntries(own, (item) =>
				countersInMaps ? (reuse(item, old) ?? (deservesLookup(item) ? free(name) : undefined)) : undefined,
			);
			chains.push({ table, chain, items });
		}
	}
	return compileTable(family, chains, answered);
}

/** Takes from `old` the map that shares most with the item, among those it can use. */
function reuse(item: Omit<FoldedItem, "map">, old: FoldedItem[]): string | undefined {
	const own = new Set(item.entries.map(({ ordinal }) => ordinal));
	let best: { index: number; shared: number } | undefined;
	for (const [index, { shape, entries }] of old.entries()) {
		if (!sameShape(shape, item.shape)) continue;
		const shared = entries.filter(({ ordinal }) => own.has(ordinal)).length;
		if (best === undefined || shared > best.shared) best = { index, shared };
		if (shared === own.size) break;
	}
	return best === undefined ? undefined : old.splice(best.index, 1)[0]?.map;
}

/** Returns unused map names for a chain. */
function freeNames(taken: ReadonlySet<string>): (chain: string) => string {
	const last = new Map<string, number>();
	return (chain) => {
		let number = (last.get(chain) ?? 0) + 1;
		while (taken.has(`${chain}_${number}`) || taken.has(`${chain}_${number}_plain`)) number++;
		last.set(chain, number);
		return `${chain}_${number}`;
	};
}

/** True if something about the table cannot be changed in place. */
function mustRebuild({ listing }: CurrentTable, spec: TableSpec): boolean {
	if (listing.flagged || listing.others.length > 0) return true;
	const chainsDiffer = spec.chains.some(({ name, base }) => {
		const old = listing.chains.get(name);
		if (old === undefined) return false;
		return (
			old.base?.type !== base?.type || old.base?.hook !== base?.hook || old.base?.priority !== base?.priority
		);
	});
	return chainsDiffer || spec.maps.some((map) => cannotHold(listing.maps.get(map.set.name), map));
}

function cannotHold(old: ListedMap | undefined, { set: { key, data } }: MapSpec): boolean {
	if (old === undefined) return false;
	const [had, wanted] = [old.set.data, data].map((one) => (one === "verdict" ? undefined : one?.type));
	return (
		old.elements === undefined ||
		old.set.key.type.bytes !== key.type.bytes ||
		had?.id !== wanted?.id ||
		had?.bytes !== wanted?.bytes
	);
}

/** Maps whose content changes while rules around them change too. */
function mapsToRenew(listing: TableListing, spec: TableSpec): Set<string> {
	const renew = new Set<string>();
	const maps = new Map(spec.maps.map((map) => [map.set.name, map]));
	for (const { name, base, rules } of spec.chains) {
		const old = listing.chains.get(name);
		if (base === undefined || old === undefined) continue;
		if (haveSame(old.rules, rules)) continue;
		for (const { map } of rules) {
			const wanted = map === undefined ? undefined : maps.get(map);
			const current = map === undefined ? undefined : listing.maps.get(map);
			if (wanted !== undefined && current !== undefined && !sameContents(current, wanted)) {
				renew.add(wanted.set.name);
			}
		}
	}
	return renew;
}

function haveSame(listed: readonly ListedRule[], rules: readonly RuleSpec[]): boolean {
	if (listed.length !== rules.length) return false;
	return listed.every((one, at) => {
		const rule = rules[at];
		return rule !== undefined && doesSame(one, rule);
	});
}

function sameContents(old: ListedMap, wanted: MapSpec): boolean {
	const elements = old.elements ?? [];
	return (
		elements.length === wanted.elements.length &&
		wanted.elements.every(({ key, data }) =>
			elements.some((one) => sameBytes(one.key, key) && sameBytes(one.data, data)),
		)
	);
}

class ChangePlan implements Change {
	readonly prepare: Command[] = [];
	readonly swap: Command[] = [];
	readonly cleanUp: Command[] = [];
	readonly undo: Command[] = [];
	readonly #table: ReturnType<typeof tableOf>;

	constructor(family: Family) {
		this.#table = tableOf(family);
	}

	deleteTable(): void {
		this.swap.push({ do: "delete table", table: this.#table });
	}

	create(spec: TableSpec): void {
		this.swap.push({ do: "add table", table: this.#table });
		for (const chain of spec.chains) this.#addChain(chain);
		for (const map of spec.maps) this.#addMap(map, this.swap);
		for (const chain of spec.chains) {
			for (const rule of chain.rules) this.swap.push(this.#ruleCommand(chain.name, rule, undefined));
		}
	}

	update(listing: TableListing, spec: TableSpec, reset: ReadonlySet<string>): void {
		for (const chain of spec.chains) {
			const old = listing.chains.get(chain.name);
			// If the chain exists, this changes its policy.
			if (old === undefined || (old.base !== undefined && old.base.policy !== "accept"))
				this.#addChain(chain);
		}
		for (const map of spec.maps) {
			const { name } = map.set;
			const old = listing.maps.get(name);
			if (old === undefined) {
				this.#addMap(map, this.prepare);
				this.undo.push({ do: "delete set", table: this.#table, set: name });
			} else this.#updateMap(old, map, reset);
		}
		for (const chain of spec.chains) this.#updateRules(listing.chains.get(chain.name), chain, reset);
		this.#removeChains(
			[...listing.chains.values()].filter(({ name }) => !spec.chains.some((one) => one.name === name)),
		);
		const lookedUp = new Set(
			[...listing.chains.values()].flatMap(({ rules }) => rules.map(({ map }) => map)),
		);
		const wanted = new Set(spec.maps.map(({ set }) => set.name));
		for (const name of listing.maps.keys()) {
			if (wanted.has(name)) continue;
			const list = lookedUp.has(name) ? this.cleanUp : this.swap;
			list.push({ do: "delete set", table: this.#table, set: name });
		}
	}

	#addChain({ name, base }: ChainSpec): void {
		const chain = { name, ...(base === undefined ? {} : { base: { ...base, policy: "accept" as const } }) };
		this.swap.push({ do: "add chain", table: this.#table, chain });
	}

	#addMap(map: MapSpec, list: Command[]): void {
		list.push({ do: "add set", table: this.#table, set: map.set });
		for (const element of map.elements) list.push(this.#elementCommand(map, element));
	}

	/** One command for each element, so that the kernel reports which one it refuses. */
	#elementCommand({ set }: MapSpec, { key, data, comment, counters }: ElementSpec): Command {
		const element: SetElement = { key, data, comment, counter: counters };
		return { do: "add elements", table: this.#table, set, elements: [element] };
	}

	#updateMap(old: ListedMap, map: MapSpec, reset: ReadonlySet<string>): void {
		const chain = baseOf(map.set.name);
		const keep = new Set<ElementSpec>();
		const gone: SetElement[] = [];
		for (const current of old.elements ?? []) {
			const same = map.elements.find(
				({ key, data, comment }) =>
					sameBytes(current.key, key) && sameBytes(current.data, data) && current.comment === comment,
			);
			const stays =
				same !== undefined && current.counters !== undefined && !reset.has(`${chain} ${same.ordinal}`);
			if (stays) keep.add(same);
			else gone.push({ key: current.key });
		}
		if (gone.length > 0) {
			this.swap.push({ do: "delete elements", table: this.#table, set: map.set, elements: gone });
		}
		for (const element of map.elements) {
			if (!keep.has(element)) this.swap.push(this.#elementCommand(map, element));
		}
	}

	/** Keeps the longest run of rules in the right order, and inserts the others around them. */
	#updateRules(old: ListedChain | undefined, chain: ChainSpec, reset: ReadonlySet<string>): void {
		const pool = new RulePool(old?.rules ?? []);
		const base = baseOf(chain.name);
		const places = chain.rules.map((rule) => {
			if (rule.counter !== undefined && rule.ordinals.some((one) => reset.has(`${base} ${one}`)))
				return undefined;
			return pool.take(rule);
		});
		const kept = longestRise(places);
		const stays = new Set(kept.values());
		for (const [index, { handle }] of (old?.rules ?? []).entries()) {
			if (!stays.has(index)) {
				this.swap.push({ do: "delete rule", table: this.#table, chain: chain.name, handle });
			}
		}
		let before: bigint | undefined;
		const commands: Command[] = [];
		// Go from the end, so that each new rule knows the existing rule after it; then reverse the commands, because
		// each rule is inserted directly before that one.
		for (let index = chain.rules.length - 1; index >= 0; index--) {
			const rule = chain.rules[index];
			const place = kept.get(index);
			if (place !== undefined) before = old?.rules[place]?.handle;
			else if (rule !== undefined) commands.push(this.#ruleCommand(chain.name, rule, before));
		}
		this.swap.push(...commands.reverse());
	}

	#ruleCommand(chain: string, rule: RuleSpec, before: bigint | undefined): Command {
		const { comment } = rule;
		return {
			do: "add rule",
			table: this.#table,
			chain,
			rule: { expressions: ruleExpressions(rule), ...(comment === undefined ? {} : { comment }) },
			...(before === undefined ? {} : { before }),
		};
	}

	#removeChains(chains: readonly ListedChain[]): void {
		// Base chains first, because they jump to the others.
		const order = [...chains].sort((a, b) => Number(a.base === undefined) - Number(b.base === undefined));
		for (const { name } of order) this.swap.push({ do: "flush chain", table: this.#table, chain: name });
		for (const { name } of order) this.swap.push({ do: "delete chain", table: this.#table, chain: name });
	}
}

/** The base chain that a chain or map is named after. */
function baseOf(name: string): string {
	const [table = "", chain = ""] = name.split("_");
	return `${table}_${chain}`;
}

/** Indices of the longest strictly increasing subsequence of `places`, with their values. */
function longestRise(places: readonly (number | undefined)[]): Map<number, number> {
	/** The index of the smallest value that ends an increasing subsequence of length i + 1. */
	const ends: number[] = [];
	const previous = new Map<number, number>();
	for (const [index, place] of places.entries()) {
		if (place === undefined) continue;
		let low = 0;
		let high = ends.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if ((places[ends[middle] ?? 0] ?? 0) < place) low = middle + 1;
			else high = middle;
		}
		const before = ends[low - 1];
		if (before !== undefined) previous.set(index, before);
		ends[low] = index;
	}
	const rise = new Map<number, number>();
	for (let index = ends.at(-1); index !== undefined; index = previous.get(index)) {
		const place = places[index];
		if (place !== undefined) rise.set(index, place);
	}
	return rise;
}
