/**
 * Compiles a ruleset to tables. Adjacent rules that differ only in DSCP and destination become one map lookup; every
 * other rule becomes an nft rule (or two, for `--ports`).
 */
import {
	assign,
	assignFromMap,
	dataType,
	type Expression,
	type FieldPlace,
	field,
	integerType,
	jump,
	match,
	namedPlace,
	type Operand,
	rawField,
	type SetType,
	verdict,
} from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";
import {
	asksForPorts,
	type Chain,
	type Counters,
	type Match,
	type Rule,
	TABLE_PRIORITY,
	type Table,
	ZERO_COUNTERS,
} from "../../../model/rule.ts";
import type { RuleEntry } from "../../../model/ruleset.ts";
import { waysBack } from "../../../model/way-back.ts";
import { ruleComments } from "./comment.ts";
import { addressOnlyChain, checkChain, guardRules, laterChain, portChain, portChainName } from "./guard.ts";
import { sameExpressions } from "./identity.ts";
import {
	type Alternative,
	compileMatches,
	dscpKey,
	dscpKeyBytes,
	dscpOf,
	dscpOperand,
	dscpPlace,
	laterFragments,
	withoutDscp,
} from "./match.ts";
import { quotedPort } from "./quote.ts";
import {
	type BaseChain,
	type ChainSpec,
	type ElementSpec,
	type MapSpec,
	nftFamily,
	type RuleSpec,
	type TableSpec,
} from "./table.ts";
import { wayBackChains } from "./way-back.ts";

const HOOKS: Readonly<Record<Chain, BaseChain["hook"]>> = {
	PREROUTING: "prerouting",
	INPUT: "input",
	FORWARD: "forward",
	OUTPUT: "output",
	POSTROUTING: "postrouting",
};

export function chainName(table: Table, chain: Chain): string {
	return `${table}_${chain}`;
}

export function baseChain(table: Table, chain: Chain): BaseChain {
	// A chain of type route looks up the route again after the destination changed, like mangle OUTPUT.
	const type = table === "mangle" && chain === "OUTPUT" ? "route" : "filter";
	return { type, hook: HOOKS[chain], priority: TABLE_PRIORITY[table] };
}

/** Part of a chain: a single rule, or rules that share a lookup. */
export type Item = LinearItem | FoldedItem;

export interface LinearItem {
	readonly kind: "linear";
	readonly entry: RuleEntry;
}

export interface FoldedItem {
	readonly kind: "folded";
	/** What the entries have in common; items with the same shape could share a map. */
	readonly shape: Shape;
	readonly entries: readonly RuleEntry[];
	/** Name of the map. */
	readonly map: string;
}

/** What a rule does besides its DSCP and destination. */
export interface Shape {
	readonly conditions: readonly Expression[];
	readonly clearDscp: boolean;
	readonly dport: number | undefined;
}

export function sameShape(a: Shape, b: Shape): boolean {
	return a.clearDscp === b.clearDscp && a.dport === b.dport && sameExpressions(a.conditions, b.conditions);
}

/** A chain of the model, with its entries in order and grouped into items. */
export interface ChainItems {
	readonly table: Table;
	readonly chain: Chain;
	readonly items: readonly Item[];
}

/**
 * Groups the entries of one chain, in ordinal order, into items. `nameMap` is called once for each lookup; if it
 * returns no name, the rules stay separate.
 */
export function foldEntries(
	entries: readonly RuleEntry[],
	nameMap: (item: Omit<FoldedItem, "map">) => string | undefined,
): Item[] {
	const items: (LinearItem | (Omit<FoldedItem, "map" | "entries"> & { entries: RuleEntry[] }))[] = [];
	let keys = new Set<number>();
	for (const entry of entries) {
		const foldable = foldableShape(entry);
		const last = items.at(-1);
		if (foldable === undefined) items.push({ kind: "linear", entry });
		else if (last?.kind === "folded" && sameShape(last.shape, foldable.shape) && !keys.has(foldable.key)) {
			last.entries.push(entry);
			keys.add(foldable.key);
		} else {
			items.push({ kind: "folded", shape: foldable.shape, entries: [entry] });
			keys = new Set([foldable.key]);
		}
	}
	return items.flatMap((item): Item[] => {
		if (item.kind === "linear") return [item];
		const map = nameMap(item);
		if (map !== undefined) return [{ ...item, map }];
		return item.entries.map((entry) => ({ kind: "linear", entry }));
	});
}

/**
 * True if rules that could share a lookup should have one: two or more always should. A single rule should too,
 * unless it has a match that distinguishes it from other rules of its host, because a second rule is then only
 * another element, and counters go on. But a thousand rules that each have their own address or port would need a
 * thousand maps.
 */
export function deservesLookup({ entries }: Pick<FoldedItem, "entries">): boolean {
	const [first, second] = entries;
	if (first === undefined || second !== undefined) return true;
	const { header, matches } = first.rule;
	if (header.source !== undefined || header.destination !== undefined) return false;
	return matches.every(({ kind }) => COMMON_MATCHES.has(kind));
}

const COMMON_MATCHES: ReadonlySet<Match["kind"]> = new Set(["dscp", "addrtype", "comment"]);

interface Foldable {
	readonly shape: Shape;
	readonly key: number;
}

/** Undefined if the entry cannot be an element of a map. */
export function foldableShape({ rule, ordinal }: RuleEntry): Foldable | undefined {
	let foldable = shapes.get(rule);
	if (foldable === undefined) {
		foldable = foldableRule(rule) ?? "no";
		shapes.set(rule, foldable);
	}
	// An element has one comment, of limited length.
	return foldable === "no" || ruleComments(ordinal, rule).length > 1 ? undefined : foldable;
}

const shapes = new WeakMap<Rule, Foldable | "no">();

function foldableRule(rule: Rule): Foldable | undefined {
	const selector = dscpOf(rule);
	if (selector === undefined) return undefined;
	// After the DSCP is cleared, a later rule for DSCP 0 would still match what this lookup has rewritten.
	if (rule.target.clearDscp && selector.dscp === 0) return undefined;
	const [only, ...alternatives] = compileMatches(withoutDscp(rule));
	if (only === undefined || alternatives.length > 0) return undefined;
	// A lookup takes either all later fragments or none.
	if (asksForPorts(rule) && rule.target.laterFragments === true) return undefined;
	const { clearDscp, dport } = rule.target;
	const shape = { conditions: only.conditions, clearDscp, dport };
	return { shape, key: dscpKey(rule.family, selector.dscp) };
}

/**
 * The table of one family; undefined if it would be empty, because then there is no table. `answered`: rules of the
 * family that run as programs, and whose answers this table translates back.
 */
export function compileTable(
	family: Family,
	chains: readonly ChainItems[],
	answered: readonly Rule[] = [],
): TableSpec | undefined {
	const compiled = chains.filter(({ items }) => items.length > 0).map((one) => compileChain(family, one));
	const rules = chains.flatMap(({ items }) => items.flatMap(itemEntries)).map(({ rule }) => rule);
	// Programs meet a packet first.
	const wayBack = wayBackChains(family, waysBack([...answered, ...rules]));
	if (compiled.length === 0 && wayBack.length === 0) return undefined;
	const ports = new Set(rules.flatMap(({ target: { dport } }) => (dport === undefined ? [] : [dport])));
	return {
		family,
		chains: [
			...[...ports].sort((a, b) => a - b).map(portChain),
			...wayBack,
			...compiled.flatMap((one) => one.chains),
		],
		maps: compiled.flatMap(({ maps }) => maps),
	};
}

export function itemEntries(item: Item): readonly RuleEntry[] {
	return item.kind === "linear" ? [item.entry] : item.entries;
}

/** The nft chains of one chain of the model, base chain last, and their maps. */
function compileChain(
	family: Family,
	{ table, chain, items }: ChainItems,
): { readonly chains: readonly ChainSpec[]; readonly maps: readonly MapSpec[] } {
	const name = chainName(table, chain);
	const writes: Write[] = [NORMAL[family]];
	if (family === "ipv6") writes.push(ADDRESS_ONLY);
	const [normal = [], plain] = writes.map((write) =>
		items.flatMap((item) => compileItem(item, family, write)),
	);
	const texts = items.flatMap((item) => (item.kind === "linear" ? furtherText(item.entry) : []));
	const later = items.some((item) => itemEntries(item).some(({ rule }) => needsTransport(rule)));
	const chains: ChainSpec[] = [
		...(plain === undefined ? [] : [addressOnlyChain(name, plain)]),
		...(later
			? [
					laterChain(
						name,
						items.flatMap((item) => compileLater(item, family)),
					),
				]
			: []),
		checkChain(family, name, { later }),
		...(texts.length === 0 ? [] : [{ name: textChainName(name), rules: texts }]),
		{ name, base: baseChain(table, chain), rules: [...guardRules(family, name, { later }), ...normal] },
	];
	const maps = items.flatMap((item) =>
		item.kind === "folded" ? writes.map((write) => compileMap(item, family, write)) : [],
	);
	return { chains, maps };
}

/** True if the rule means something else for a packet without its own transport header. */
function needsTransport(rule: Rule): boolean {
	return asksForPorts(rule) || rule.target.dport !== undefined || rule.target.icmpErrors === true;
}

/** How a rewrite stores the destination, and what belongs to it. */
interface Write {
	/** Appended to the name of a map. */
	readonly suffix: string;
	readonly target: Operand;
	/** The declared data type of maps for this write. */
	readonly data: SetType;
	/** The main rules have the rule texts and the counters; their copies only add to the counters. */
	readonly main: boolean;
	/** The compiled target of each rule. */
	readonly actions: WeakMap<Rule, readonly Expression[]>;
}

function writeTo(daddr: "ip daddr" | "ip6 daddr", type: "ipv4_addr" | "ipv6_addr"): Write {
	return {
		suffix: "",
		target: field(daddr),
		data: { type: dataType(type), typeof: namedPlace(daddr) },
		main: true,
		actions: new WeakMap(),
	};
}

const NORMAL: Readonly<Record<Family, Write>> = {
	ipv4: writeTo("ip daddr", "ipv4_addr"),
	ipv6: writeTo("ip6 daddr", "ipv6_addr"),
};

const IPV6_DADDR: FieldPlace = { base: "network", offset: 192, length: 128 };

/** Written as raw bits, so that the kernel does not recognise an address and leaves the transport checksum alone. */
const ADDRESS_ONLY: Write = {
	suffix: "_plain",
	target: rawField(IPV6_DADDR.base, IPV6_DADDR.offset, IPV6_DADDR.length),
	data: { type: integerType(16), typeof: IPV6_DADDR },
	main: false,
	actions: new WeakMap(),
};

function compileItem(item: Item, family: Family, write: Write): RuleSpec[] {
	return item.kind === "linear" ? compileLinear(item.entry, write) : [compileLookup(item, family, write)];
}

/** The comment of a further nft rule of `ordinal`: the `index`-th, from 0. */
function secondaryComment(ordinal: number, index: number): string {
	return index === 0 ? `${ordinal}` : `${ordinal}/${index + 1}`;
}

function compileLinear({ rule, ordinal, counters }: RuleEntry, write: Write): RuleSpec[] {
	const [comment] = ruleComments(ordinal, rule);
	return compileMatches(rule).map(({ conditions, port }, index) => {
		const first = write.main && index === 0;
		return {
			comment: first ? comment : secondaryComment(ordinal, index),
			conditions,
			counter: first ? (counters ?? ZERO_COUNTERS) : ZERO_COUNTERS,
			actions: port === "own" ? targetActions(rule, write) : followingActions(rule, write, port),
			ordinals: [ordinal],
		};
	});
}

/** What the item does to later fragments: counts them and rewrites the address; they have no port to write. */
function compileLater(item: Item, family: Family): RuleSpec[] {
	const [first] = itemEntries(item);
	const conditions = first === undefined ? undefined : laterFragments(first.rule);
	if (first === undefined || conditions === undefined) return [];
	if (item.kind === "folded") return [compileLookup(item, family, NORMAL[family], clearActions)];
	const { rule, ordinal } = first;
	return [
		{
			comment: secondaryComment(ordinal, 0),
			conditions,
			counter: ZERO_COUNTERS,
			actions: followingActions(rule, NORMAL[family], undefined),
			ordinals: [ordinal],
		},
	];
}

/** Cached: a rule's target is compiled once, like its matches. */
function targetActions(rule: Rule, write: Write): readonly Expression[] {
	let actions = write.actions.get(rule);
	if (actions === undefined) {
		const destination = Uint8Array.from(rule.target.daddr.bytes);
		actions = [...assign(write.target, destination), ...furtherActions(rule)];
		write.actions.set(rule, actions);
	}
	return actions;
}

/** For packets that the rule takes because of their flow: the port is not in a transport header of the packet. */
function followingActions(
	rule: Rule,
	write: Write,
	port: Exclude<Alternative["port"], "own">,
): readonly Expression[] {
	const { daddr, dport } = rule.target;
	return [
		...assign(write.target, Uint8Array.from(daddr.bytes)),
		...clearActions(rule),
		...(port === undefined || dport === undefined ? [] : assign(quotedPort(port.offset), dport)),
	];
}

/** After the destination: the DSCP, and the port in a separate chain, because each protocol needs a rule. */
function furtherActions(rule: Rule): readonly Expression[] {
	const { dport } = rule.target;
	return [...clearActions(rule), ...(dport === undefined ? [] : [jump(portChainName(dport))])];
}

function clearActions({ target, family }: Rule): readonly Expression[] {
	return target.clearDscp ? assign(field(`${nftFamily(family)} dscp`), 0) : [];
}

/** `further`: what all its rules do besides the address. */
function compileLookup(
	item: FoldedItem,
	family: Family,
	write: Write,
	further: (rule: Rule) => readonly Expression[] = furtherActions,
): RuleSpec {
	const [first] = item.entries;
	if (first === undefined) throw new RangeError("a lookup needs at least one rule");
	const { rule } = first;
	const map = item.map + write.suffix;
	const shared = compileMatches(withoutDscp(rule))[0]?.conditions ?? [];
	// Most other packets have DSCP 0 and need no lookup, unless a rule asks for it.
	const dscp = match(field(`${nftFamily(family)} dscp`), "!=", 0);
	const asksForZero = item.entries.some(({ rule: { matches } }) =>
		matches.some((one) => one.kind === "dscp" && one.dscp === 0),
	);
	const conditions = asksForZero ? shared : [...dscp, ...shared];
	const actions = [...assignFromMap(write.target, dscpOperand(family), map), ...further(rule)];
	return { conditions, actions, map, ordinals: item.entries.map(({ ordinal }) => ordinal) };
}

/** The number of DSCPs. */
const MAP_SIZE = 64;

function compileMap(item: FoldedItem, family: Family, write: Write): MapSpec {
	const place = dscpPlace(family);
	return {
		set: {
			name: item.map + write.suffix,
			key: { type: integerType(place.length / 8), typeof: place },
			data: write.data,
			size: MAP_SIZE,
			counters: true,
		},
		elements: item.entries.map((entry) => compileElement(entry, write)),
	};
}

function compileElement({ rule, ordinal, counters }: RuleEntry, write: Write): ElementSpec {
	const selector = rule.matches.find((one) => one.kind === "dscp");
	if (selector === undefined) throw new RangeError("an element needs a DSCP");
	const start: Counters = write.main ? (counters ?? ZERO_COUNTERS) : ZERO_COUNTERS;
	return {
		key: dscpKeyBytes(rule.family, selector.dscp),
		data: Uint8Array.from(rule.target.daddr.bytes),
		comment: write.main ? ruleComments(ordinal, rule)[0] : secondaryComment(ordinal, 0),
		ordinal,
		counters: start,
	};
}

/** Rules that hold the rest of comments that are too long; nothing jumps to their chain. */
function furtherText({ rule, ordinal }: RuleEntry): RuleSpec[] {
	const [, ...more] = ruleComments(ordinal, rule);
	return more.map((comment) => ({ comment, conditions: [], actions: [CONTINUE], ordinals: [ordinal] }));
}

const CONTINUE = verdict("continue");

export function textChainName(base: string): string {
	return `${base}_text`;
}
