/**
 * From a listed table to the rules that are really in force. Comments say which rules should exist; compiling these
 * again says what the kernel should have. A rule counts as observed only if both agree.
 */
import { bytesNumber, elementKey, printRule, type TableCounters } from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";
import type { FindingKind } from "../../../model/finding.ts";
import {
	CHAINS,
	type Chain,
	type Counters,
	type Rule,
	type Table,
	ZERO_COUNTERS,
} from "../../../model/rule.ts";
import type { RuleEntry } from "../../../model/ruleset.ts";
import { waysBack } from "../../../model/way-back.ts";
import type { DatapathFinding, ObservedRule } from "../../datapath.ts";
import { type RuleReader, readComment } from "./comment.ts";
import {
	baseChain,
	type ChainItems,
	chainName,
	compileTable,
	type FoldedItem,
	foldableShape,
	type Item,
	itemEntries,
	type Shape,
	sameShape,
	textChainName,
} from "./compile.ts";
import { laterChainName } from "./guard.ts";
import { RulePool } from "./identity.ts";
import type { TableListing } from "./listing.ts";
import {
	type BaseChain,
	type ChainSpec,
	type MapSpec,
	nftFamily,
	type RuleSpec,
	ruleExpressions,
	tableOf,
} from "./table.ts";
import { WAY_BACK_CHAIN } from "./way-back.ts";

/** What counts for a rule: an nft rule, by its handle, or an element of a map. */
type CountedBy = bigint | { readonly map: string; readonly key: string };

export interface TableReading {
	readonly rules: readonly ObservedRule[];
	/** What each of the rules is counted by. */
	readonly countedBy: readonly (readonly CountedBy[])[];
	readonly findings: readonly DatapathFinding[];
	/** The existing lookups, intact or not, by the name of their base chain. */
	readonly lookups: ReadonlyMap<string, readonly FoldedItem[]>;
}

/** `answered`: rules of this family that run as programs, whose answers the table should translate back. */
export function readTable(
	listing: TableListing,
	readRule: RuleReader,
	answered: readonly Rule[] = [],
): TableReading {
	return new TableReader(listing, readRule, answered).read();
}

/** The findings if there is no table, although it should translate the answers of rules that run as programs. */
export function missingTable(family: Family, answered: readonly Rule[]): DatapathFinding[] {
	if (waysBack(answered).length === 0) return [];
	const object = tableObject(family);
	return [{ datapath: "nft", kind: "answers-missing", object, problem: `is missing: ${UNTRANSLATED}` }];
}

const UNTRANSLATED =
	"answers of services with set-port leave from the wrong port (an older l3dsr did not create it, or somebody deleted it)";

function tableObject(family: Family): string {
	const { family: nft, name } = tableOf(family);
	return `table ${nft} ${name}`;
}

/** The same reading with newer counters. */
export function recounted(reading: TableReading, { rules, elements }: TableCounters): TableReading {
	const counted = (by: CountedBy): Counters | undefined =>
		typeof by === "bigint" ? rules.get(by) : elements.get(by.map)?.get(by.key);
	return {
		...reading,
		rules: reading.rules.map((rule, index) => {
			const counters = (reading.countedBy[index] ?? []).map((by) => counted(by) ?? ZERO_COUNTERS);
			return { ...rule, counters: counters.reduce(sum, ZERO_COUNTERS) };
		}),
	};
}

/** An entry of one chain, by its ordinal, which is unique there. */
interface Owner {
	readonly entry: RuleEntry;
	counters: Counters;
	readonly countedBy: CountedBy[];
	intact: boolean;
}

class TableReader {
	readonly #listing: TableListing;
	readonly #readRule: RuleReader;
	readonly #answered: readonly Rule[];
	readonly #findings: DatapathFinding[] = [];

	constructor(listing: TableListing, readRule: RuleReader, answered: readonly Rule[]) {
		this.#listing = listing;
		this.#readRule = readRule;
		this.#answered = answered;
	}

	read(): TableReading {
		const chains: ChainItems[] = [];
		for (const table of ["raw", "mangle"] as const) {
			for (const chain of CHAINS[table]) {
				const items = this.#readChain(table, chain);
				if (items.length > 0) chains.push({ table, chain, items });
			}
		}
		const { flagged: asleep, family, others } = this.#listing;
		if (asleep) this.#find("", "is dormant (flags dormant): its rules are not in force");
		const spec = compileTable(family, chains, this.#answered) ?? { family, chains: [], maps: [] };

		const owners = new Map<string, Map<number, Owner>>();
		for (const { table, chain, items } of chains) {
			const entries = items.flatMap(itemEntries);
			const hangsRight = this.#hangsRight(chainName(table, chain), baseChain(table, chain));
			const intact = !asleep && hangsRight;
			owners.set(
				chainName(table, chain),
				new Map(
					entries.map((entry) => [entry.ordinal, { entry, counters: ZERO_COUNTERS, countedBy: [], intact }]),
				),
			);
		}
		const ownersOf = (name: string): Map<number, Owner> => {
			const base = [...owners.keys()].find((one) => name === one || name.startsWith(`${one}_`));
			return (base === undefined ? undefined : owners.get(base)) ?? new Map();
		};
		// An older l3dsr made no detours for later fragments; its rules are intact without them.
		const detours = new Set([...owners.keys()].map(laterChainName));
		for (const chain of spec.chains) {
			const missing = !this.#listing.chains.has(chain.name);
			if (missing && chain.name === WAY_BACK_CHAIN) {
				this.#find(`chain ${chain.name}`, `is missing: ${UNTRANSLATED}`, "answers-missing");
				continue;
			}
			if (missing && detours.has(chain.name)) {
				this.#find(
					`chain ${chain.name}`,
					"is missing: an older l3dsr did not create it, or somebody deleted it",
				);
				continue;
			}
			// Chains of the model have been compared already.
			if (chain.base !== undefined && !owners.has(chain.name)) this.#hangsRight(chain.name, chain.base);
			this.#compareChain(chain, ownersOf(chain.name));
		}
		for (const map of spec.maps) this.#compareMap(map, ownersOf(map.set.name));

		const chainNames = new Set(spec.chains.map(({ name }) => name));
		for (const { name } of this.#listing.chains.values()) {
			if (chainNames.has(name)) continue;
			const kind = name === WAY_BACK_CHAIN ? "answers-superfluous" : "damage";
			this.#find(`chain ${name}`, "no rule of l3dsr accounts for it", kind);
		}
		const mapNames = new Set(spec.maps.map(({ set }) => set.name));
		for (const name of this.#listing.maps.keys()) {
			if (!mapNames.has(name)) this.#find(`map ${name}`, "no rule of l3dsr looks it up");
		}
		for (const { kind, name } of others) this.#find(`${kind} ${name}`, "no rule of l3dsr accounts for it");

		const intact = [...owners.values()].flatMap((chain) =>
			[...chain.values()].filter((owner) => owner.intact).sort((a, b) => a.entry.ordinal - b.entry.ordinal),
		);
		const rules = intact.map(({ entry: { rule, ordinal }, counters }) => ({
			rule,
			ordinal,
			counters,
			datapath: "nft" as const,
		}));
		const lookups = new Map(
			chains.map(({ table, chain, items }) => [
				chainName(table, chain),
				items.filter((item) => item.kind === "folded"),
			]),
		);
		return { rules, countedBy: intact.map(({ countedBy }) => countedBy), findings: this.#findings, lookups };
	}

	#find(inside: string, problem: string, kind: FindingKind = "damage"): void {
		const table = tableObject(this.#listing.family);
		const object = inside === "" ? table : `${table}, ${inside}`;
		this.#findings.push({ datapath: "nft", kind, object, problem });
	}

	/** The items that the comments of a chain describe, in the order of its rules. */
	#readChain(table: Table, chain: Chain): Item[] {
		const { chains, family } = this.#listing;
		const name = chainName(table, chain);
		const listed = chains.get(name);
		if (listed === undefined) return [];
		const place = { family, table, chain };
		const more = new Map<string, string>();
		for (const { comment = "" } of chains.get(textChainName(name))?.rules ?? []) {
			const read = readComment(comment);
			if (read !== undefined) more.set(`${read.ordinal} ${read.piece}/${read.pieces}`, read.text);
		}
		const ordinals = new Set<number>();
		const items: Item[] = [];
		for (const rule of listed.rules) {
			const read = rule.comment === undefined ? undefined : readComment(rule.comment);
			if (read?.piece === 1 && !ordinals.has(read.ordinal)) {
				const { ordinal, pieces } = read;
				const rest = Array.from({ length: pieces - 1 }, (_, i) => more.get(`${ordinal} ${i + 2}/${pieces}`));
				const found = this.#readRule.read([read.text, ...rest.map((text) => text ?? "")], place);
				if (found === undefined) continue;
				ordinals.add(ordinal);
				items.push({ kind: "linear", entry: { rule: found, ordinal } });
			} else if (rule.map !== undefined) {
				const item = this.#readLookup(rule.map, place, ordinals);
				if (item !== undefined) items.push(item);
			}
		}
		const order = items.flatMap(itemEntries).map(({ ordinal }) => ordinal);
		if (order.some((ordinal, index) => ordinal < (order[index - 1] ?? ordinal))) {
			this.#find(`chain ${name}`, "its rules are not in the order of their comments");
		}
		return items;
	}

	#readLookup(
		map: string,
		place: Pick<Rule, "family" | "table" | "chain">,
		ordinals: Set<number>,
	): FoldedItem | undefined {
		const entries: RuleEntry[] = [];
		let shape: Shape | undefined;
		const elements = this.#listing.maps.get(map)?.elements ?? [];
		for (const { comment = "" } of elements) {
			const read = readComment(comment);
			if (read === undefined || read.pieces > 1 || ordinals.has(read.ordinal)) continue;
			const rule = this.#readRule.read([read.text], place);
			if (rule === undefined) continue;
			const entry = { rule, ordinal: read.ordinal };
			const foldable = foldableShape(entry);
			shape ??= foldable?.shape;
			if (foldable === undefined || shape === undefined || !sameShape(foldable.shape, shape)) continue;
			ordinals.add(read.ordinal);
			entries.push(entry);
		}
		entries.sort((a, b) => a.ordinal - b.ordinal);
		return shape === undefined ? undefined : { kind: "folded", shape, entries, map };
	}

	/** Checks that the chain is at the right hook. */
	#hangsRight(name: string, wanted: BaseChain): boolean {
		const base = this.#listing.chains.get(name)?.base;
		if (base === undefined) {
			this.#find(`chain ${name}`, "is not at a hook: its rules are not in force");
			return false;
		}
		const { type, hook, priority, policy } = base;
		if (type !== wanted.type || hook !== wanted.hook || priority !== wanted.priority) {
			this.#find(
				`chain ${name}`,
				`is of type ${type} at ${hook}, priority ${priority}, which l3dsr did not create`,
			);
			return false;
		}
		if (policy !== "accept")
			this.#find(`chain ${name}`, `has the policy ${policy}, but l3dsr created it with accept`);
		return true;
	}

	#compareChain(wanted: ChainSpec, owners: ReadonlyMap<number, Owner>): void {
		const listed = this.#listing.chains.get(wanted.name);
		const rules = listed?.rules ?? [];
		const pool = new RulePool(rules);
		let before = -1;
		for (const rule of wanted.rules) {
			const index = pool.take(rule);
			const found = index === undefined ? undefined : rules[index];
			if (index === undefined || found === undefined) {
				if (rule.ordinals.length === 0) {
					const kind = wanted.name === WAY_BACK_CHAIN ? "answers-missing" : "damage";
					this.#find(`chain ${wanted.name}`, `lacks ${this.#frameText(rule)}`, kind);
				}
				for (const ordinal of rule.ordinals) this.#break(owners.get(ordinal), `chain ${wanted.name}`);
				continue;
			}
			if (index < before) this.#find(`chain ${wanted.name}`, "its rules are in the wrong order");
			before = index;
			const [ordinal] = rule.ordinals;
			const owner = ordinal === undefined ? undefined : owners.get(ordinal);
			if (rule.map === undefined && owner !== undefined) {
				count(owner, found.counters, found.handle);
			}
		}
		for (const rule of pool.left()) {
			if (wanted.name === WAY_BACK_CHAIN) {
				const problem = "translates answers that belong to no rule of l3dsr";
				this.#find(`chain ${wanted.name}, handle ${rule.handle}`, problem, "answers-superfluous");
				continue;
			}
			const ours = rule.comment !== undefined && /^-?\d+[ /]|^-?\d+$/.test(rule.comment);
			const problem = ours
				? `does not do what its comment says (${rule.comment})`
				: "was not written by this version of l3dsr";
			this.#find(`chain ${wanted.name}, handle ${rule.handle}`, problem);
		}
	}

	#compareMap(wanted: MapSpec, owners: ReadonlyMap<number, Owner>): void {
		const { name } = wanted.set;
		const object = `map ${name}`;
		const listed = this.#listing.maps.get(name);
		if (listed !== undefined && listed.elements === undefined) {
			this.#find(object, "has elements that l3dsr does not write");
		}
		const left = new Map(listed?.elements?.map((one) => [hex(one.key), one]));
		for (const { key, data, comment, ordinal } of wanted.elements) {
			const found = left.get(hex(key));
			const owner = owners.get(ordinal);
			if (found === undefined || found.comment !== comment || hex(found.data) !== hex(data)) {
				this.#break(owner, object);
				continue;
			}
			left.delete(hex(key));
			if (owner !== undefined) count(owner, found.counters, { map: name, key: elementKey(key) });
		}
		for (const { key, data, comment } of left.values()) {
			const says =
				comment === undefined ? "has no comment of l3dsr" : `does not do what its comment says (${comment})`;
			this.#find(`${object}, element 0x${number(key)} : 0x${number(data)}`, says);
		}
	}

	#frameText(rule: RuleSpec): string {
		const expressions = ruleExpressions(rule);
		return `its rule "${printRule({ expressions }, nftFamily(this.#listing.family))}"`;
	}

	/** Part of the rule is missing or altered, so it is not reported as a rule. */
	#break(owner: Owner | undefined, where: string): void {
		if (owner === undefined || !owner.intact) return;
		owner.intact = false;
		this.#find(`${where}, rule ${owner.entry.ordinal}`, "is incomplete: a part of it is missing or changed");
	}
}

function count(owner: Owner, counters: Counters | undefined, by: CountedBy): void {
	if (counters === undefined) return;
	owner.counters = sum(owner.counters, counters);
	owner.countedBy.push(by);
}

function sum(a: Counters, b: Counters): Counters {
	return { packets: a.packets + b.packets, bytes: a.bytes + b.bytes };
}

function hex(bytes: Uint8Array): string {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

/** Hexadecimal without leading zeros. */
function number(bytes: Uint8Array): string {
	return bytesNumber(bytes).toString(16);
}
