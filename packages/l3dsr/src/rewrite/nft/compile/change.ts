/**
 * (table as listed, rules that should be) → transactions. What is right already is left standing, so its
 * counters go on and no packet misses it.
 *
 * One transaction is atomic for a packet that looks at one chain, but not for one that has read the old rules
 * and then looks up a map: it sees the map's elements of the new generation. So where rules change around a
 * map, the maps of the old rules keep their elements until the rules are gone, and the new rules' maps are
 * filled before the rules come: prepare, swap, clean up. After each of the three the old rules or the new ones
 * are in force.
 */
import type { Family } from "@l3dsr/packet";
import { CHAINS, type Counters, sameRule, ZERO_COUNTERS } from "../../../model/rule.ts";
import type { RuleEntry } from "../../../model/ruleset.ts";
import type { ObservedRule } from "../../datapath.ts";
import {
	type ChainItems,
	chainName,
	compileTable,
	deservesLookup,
	type FoldedItem,
	foldEntries,
} from "./compile.ts";
import type { ListedChain, ListedMap, TableListing } from "./listing.ts";
import { listedIdentity, specIdentity, specText, type TableReading } from "./observe.ts";
import { nftFamily } from "./statement.ts";
import {
	type ChainSpec,
	COMPILED_DIALECT,
	type Dialect,
	type ElementSpec,
	type MapSpec,
	type RuleSpec,
	TABLE_NAME,
	type TableSpec,
} from "./table.ts";

/** One line of a batch. */
export interface Command {
	readonly text: string;
	/** What it is for, where that is a rule: named when nft refuses the line. */
	readonly about?: string;
}

/** Each list is one transaction; an empty one is not run. */
export interface Change {
	readonly prepare: readonly Command[];
	readonly swap: readonly Command[];
	readonly cleanUp: readonly Command[];
	/** Takes back what `prepare` made, when `swap` fails. */
	readonly undo: readonly Command[];
}

/** A table as it was observed. */
export interface Standing {
	readonly listing: TableListing;
	readonly reading: TableReading;
}

/** `entries` are those of the family. Undefined `standing`: there is no table. */
export function planChange(
	family: Family,
	entries: readonly RuleEntry[],
	standing: Standing | undefined,
	dialect: Dialect = COMPILED_DIALECT,
): Change {
	const plan = new ChangePlan(family, dialect);
	if (entries.length === 0) {
		if (standing !== undefined) plan.swap.push({ text: `delete table ${plan.table}` });
		return plan;
	}
	const kept = keepCounters(entries, standing?.reading.rules ?? []);
	const spec = compileEntries(family, kept.entries, standing, new Set());
	if (spec === undefined) throw new RangeError("entries compiled to no table");
	if (standing === undefined) plan.create(spec);
	else if (mustRebuild(standing, spec)) {
		plan.swap.push({ text: `delete table ${plan.table}` });
		plan.create(spec);
	} else {
		const renewed = mapsToRenew(standing.listing, spec, dialect);
		const final = renewed.size === 0 ? spec : compileEntries(family, kept.entries, standing, renewed);
		plan.update(standing.listing, final ?? spec, kept.reset);
	}
	return plan;
}

/** Gives each entry the counters to start with, and says in which chains which ordinals must start anew. */
function keepCounters(
	entries: readonly RuleEntry[],
	observed: readonly ObservedRule[],
): { entries: RuleEntry[]; reset: Set<string> } {
	const standing = new Map(observed.map((one) => [entryKey(one), one]));
	const reset = new Set<string>();
	const counted = entries.map((entry): RuleEntry => {
		const old = standing.get(entryKey(entry));
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

/** `fresh`: names of maps that must not be used again. */
function compileEntries(
	family: Family,
	entries: readonly RuleEntry[],
	standing: Standing | undefined,
	fresh: ReadonlySet<string>,
): TableSpec | undefined {
	const free = freeNames(new Set(standing?.listing.maps.keys() ?? []));
	const chains: ChainItems[] = [];
	for (const table of ["raw", "mangle"] as const) {
		for (const chain of CHAINS[table]) {
			const own = entries
				.filter(({ rule }) => rule.table === table && rule.chain === chain)
				.sort((a, b) => a.ordinal - b.ordinal);
			const name = chainName(table, chain);
			const old = (standing?.reading.lookups.get(name) ?? []).filter(({ map }) => !fresh.has(map));
			const items = foldEntries(
				own,
				(item) => reuse(item, old) ?? (deservesLookup(item) ? free(name) : undefined),
			);
			chains.push({ table, chain, items });
		}
	}
	return compileTable(family, chains);
}

/** Takes out of `old` the map that has most in common with the item, of those it can use. */
function reuse(item: Omit<FoldedItem, "map">, old: FoldedItem[]): string | undefined {
	const own = new Set(item.entries.map(({ ordinal }) => ordinal));
	let best: { index: number; shared: number } | undefined;
	for (const [index, { shape, entries }] of old.entries()) {
		if (shape !== item.shape) continue;
		const shared = entries.filter(({ ordinal }) => own.has(ordinal)).length;
		if (best === undefined || shared > best.shared) best = { index, shared };
		if (shared === own.size) break;
	}
	return best === undefined ? undefined : old.splice(best.index, 1)[0]?.map;
}

/** Gives out names of maps for a chain that are not taken. */
function freeNames(taken: ReadonlySet<string>): (chain: string) => string {
	const last = new Map<string, number>();
	return (chain) => {
		let number = (last.get(chain) ?? 0) + 1;
		while (taken.has(`${chain}_${number}`) || taken.has(`${chain}_${number}_plain`)) number++;
		last.set(chain, number);
		return `${chain}_${number}`;
	};
}

/** Something about the table that cannot be changed in place. */
function mustRebuild({ listing }: Standing, spec: TableSpec): boolean {
	if (listing.flagged || listing.others.length > 0) return true;
	const chainsDiffer = spec.chains.some(({ name, base }) => {
		const old = listing.chains.get(name);
		if (old === undefined) return false;
		return (
			old.base?.type !== base?.type || old.base?.hook !== base?.hook || old.base?.priority !== base?.priority
		);
	});
	return chainsDiffer || spec.maps.some((map) => cannotHold(listing.maps.get(map.name), map));
}

function cannotHold(old: ListedMap | undefined, { typeof: { data } }: MapSpec): boolean {
	if (old === undefined) return false;
	const type = data.startsWith("@") ? "integer" : data.startsWith("ip6") ? "ipv6_addr" : "ipv4_addr";
	return old.data !== type || old.elements === undefined;
}

/** Maps whose contents change while the rules around them change too. */
function mapsToRenew(listing: TableListing, spec: TableSpec, dialect: Dialect): Set<string> {
	const renew = new Set<string>();
	const maps = new Map(spec.maps.map((map) => [map.name, map]));
	for (const { name, base, rules } of spec.chains) {
		const old = listing.chains.get(name);
		if (base === undefined || old === undefined) continue;
		const oldText = old.rules.map(({ text }) => text).join("\n");
		if (oldText === rules.map((rule) => specText(rule, dialect)).join("\n")) continue;
		for (const { map } of rules) {
			const wanted = map === undefined ? undefined : maps.get(map);
			const standing = map === undefined ? undefined : listing.maps.get(map);
			if (wanted !== undefined && standing !== undefined && !sameContents(standing, wanted)) {
				renew.add(wanted.name);
			}
		}
	}
	return renew;
}

function sameContents(old: ListedMap, wanted: MapSpec): boolean {
	const elements = old.elements ?? [];
	return (
		elements.length === wanted.elements.length &&
		wanted.elements.every(({ key, value }) =>
			elements.some((one) => one.key === BigInt(key) && one.value === value),
		)
	);
}

/** The commands that make a table where there is none. */
export function createTable(spec: TableSpec): readonly Command[] {
	const plan = new ChangePlan(spec.family, COMPILED_DIALECT);
	plan.create(spec);
	return plan.swap;
}

class ChangePlan implements Change {
	readonly prepare: Command[] = [];
	readonly swap: Command[] = [];
	readonly cleanUp: Command[] = [];
	readonly undo: Command[] = [];
	readonly table: string;

	readonly #dialect: Dialect;

	constructor(family: Family, dialect: Dialect) {
		this.#dialect = dialect;
		this.table = `${nftFamily(family)} ${TABLE_NAME}`;
	}

	create(spec: TableSpec): void {
		this.swap.push({ text: `add table ${this.table}` });
		for (const chain of spec.chains) this.#addChain(chain);
		for (const map of spec.maps) this.#addMap(map, this.swap);
		for (const chain of spec.chains) {
			for (const rule of chain.rules) this.#addRule(chain.name, rule, undefined);
		}
	}

	update(listing: TableListing, spec: TableSpec, reset: ReadonlySet<string>): void {
		for (const chain of spec.chains) {
			const old = listing.chains.get(chain.name);
			if (old === undefined) this.#addChain(chain);
			else if (old.base !== undefined && old.base.policy !== "accept") {
				this.swap.push({ text: `add chain ${this.table} ${chain.name} { policy accept; }` });
			}
		}
		for (const map of spec.maps) {
			const old = listing.maps.get(map.name);
			if (old === undefined) {
				this.#addMap(map, this.prepare);
				this.undo.push({ text: `delete map ${this.table} ${map.name}` });
			} else this.#updateMap(old, map, reset);
		}
		for (const chain of spec.chains) this.#updateRules(listing.chains.get(chain.name), chain, reset);
		this.#removeChains(
			[...listing.chains.values()].filter(({ name }) => !spec.chains.some((one) => one.name === name)),
		);
		const lookedUp = new Set(
			[...listing.chains.values()].flatMap(({ rules }) => rules.map(({ map }) => map)),
		);
		const wanted = new Set(spec.maps.map(({ name }) => name));
		for (const name of listing.maps.keys()) {
			if (wanted.has(name)) continue;
			const list = lookedUp.has(name) ? this.cleanUp : this.swap;
			list.push({ text: `delete map ${this.table} ${name}` });
		}
	}

	#addChain({ name, base }: ChainSpec): void {
		const at =
			base === undefined
				? ""
				: ` { type ${base.type} hook ${base.hook} priority ${base.priority}; policy accept; }`;
		this.swap.push({ text: `add chain ${this.table} ${name}${at}` });
	}

	#addMap(map: MapSpec, list: Command[]): void {
		const { key, data } = map.typeof;
		list.push({ text: `add map ${this.table} ${map.name} { typeof ${key} : ${data}; size 64; counter; }` });
		for (const element of map.elements) list.push(this.#addElement(map.name, element));
	}

	#addElement(map: string, { key, data, comment, counters }: ElementSpec): Command {
		const body = `0x${key.toString(16)} ${counterText(counters)} comment "${comment}" : ${data}`;
		return { text: `add element ${this.table} ${map} { ${body} }`, about: comment };
	}

	#updateMap(old: ListedMap, map: MapSpec, reset: ReadonlySet<string>): void {
		const chain = baseOf(map.name);
		const keep = new Set<bigint>();
		for (const { key, value, comment, ordinal } of map.elements) {
			const standing = old.elements?.some(
				(one) =>
					one.key === BigInt(key) &&
					one.value === value &&
					one.comment === comment &&
					one.counters !== undefined,
			);
			if (standing === true && !reset.has(`${chain} ${ordinal}`)) keep.add(BigInt(key));
		}
		for (const { key } of old.elements ?? []) {
			if (keep.has(key)) continue;
			this.swap.push({ text: `delete element ${this.table} ${map.name} { 0x${key.toString(16)} }` });
		}
		for (const element of map.elements) {
			if (!keep.has(BigInt(element.key))) this.swap.push(this.#addElement(map.name, element));
		}
	}

	/** Keeps the longest run of rules that stand in the right order, and puts the others around them. */
	#updateRules(old: ListedChain | undefined, chain: ChainSpec, reset: ReadonlySet<string>): void {
		const pool = new Map<string, number[]>();
		for (const [index, rule] of (old?.rules ?? []).entries()) {
			const identity = listedIdentity(rule);
			pool.set(identity, [...(pool.get(identity) ?? []), index]);
		}
		const base = baseOf(chain.name);
		const places = chain.rules.map((rule) => {
			if (rule.counter !== undefined && rule.ordinals.some((one) => reset.has(`${base} ${one}`)))
				return undefined;
			return pool.get(specIdentity(rule, this.#dialect))?.shift();
		});
		const kept = longestRise(places);
		const stays = new Set(kept.values());
		for (const [index, { handle }] of (old?.rules ?? []).entries()) {
			if (!stays.has(index))
				this.swap.push({ text: `delete rule ${this.table} ${chain.name} handle ${handle}` });
		}
		let behind: number | undefined;
		const commands: Command[] = [];
		// From the end, so that each new rule knows the standing rule behind it; then turned round, because
		// `insert` puts a rule directly in front of that one.
		for (let index = chain.rules.length - 1; index >= 0; index--) {
			const rule = chain.rules[index];
			const place = kept.get(index);
			if (place !== undefined) behind = old?.rules[place]?.handle;
			else if (rule !== undefined) commands.push(this.#ruleCommand(chain.name, rule, behind));
		}
		this.swap.push(...commands.reverse());
	}

	#addRule(chain: string, rule: RuleSpec, behind: number | undefined): void {
		this.swap.push(this.#ruleCommand(chain, rule, behind));
	}

	#ruleCommand(chain: string, rule: RuleSpec, behind: number | undefined): Command {
		const { conditions, counter, actions, comment } = rule;
		const words = [
			...conditions.map(({ text }) => text),
			...(counter === undefined ? [] : [counterText(counter)]),
			...actions.map(({ text }) => text),
			...(comment === undefined ? [] : [`comment "${comment}"`]),
		].join(" ");
		const place = behind === undefined ? "add rule" : "insert rule";
		const at = behind === undefined ? chain : `${chain} handle ${behind}`;
		return {
			text: `${place} ${this.table} ${at} ${words}`,
			...(comment === undefined ? {} : { about: comment }),
		};
	}

	#removeChains(chains: readonly ListedChain[]): void {
		// Base chains first: they jump to the others.
		const order = [...chains].sort((a, b) => Number(a.base === undefined) - Number(b.base === undefined));
		for (const { name } of order) this.swap.push({ text: `flush chain ${this.table} ${name}` });
		for (const { name } of order) this.swap.push({ text: `delete chain ${this.table} ${name}` });
	}
}

/** The base chain that a chain or map is named after. */
function baseOf(name: string): string {
	const [table = "", chain = ""] = name.split("_");
	return `${table}_${chain}`;
}

function counterText({ packets, bytes }: Counters): string {
	return `counter packets ${packets} bytes ${bytes}`;
}

/** Indices of the longest strictly rising selection of `places`, with their values. */
function longestRise(places: readonly (number | undefined)[]): Map<number, number> {
	/** Index of the smallest value that ends a rise of length i + 1. */
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
