/** A table as the kernel has it, in a form that compares with ours. Pure. */
import type { Chain, Expression, NamedSet, Rule, TableContents } from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";
import type { Counters } from "../../../model/rule.ts";

export interface ListedRule {
	readonly handle: bigint;
	readonly comment: string | undefined;
	/** What the rule does. Its counter has the values of the first listing. */
	readonly expressions: readonly Expression[];
	readonly counters: Counters | undefined;
	/** The first map that the rule looks up. */
	readonly map: string | undefined;
}

export interface ListedChain {
	readonly name: string;
	/** Everything about the chain except its rules; absent in chains that are only jumped to. */
	readonly base: Chain["base"];
	readonly rules: readonly ListedRule[];
}

export interface ListedElement {
	readonly key: Uint8Array;
	readonly data: Uint8Array;
	readonly comment: string | undefined;
	readonly counters: Counters | undefined;
}

export interface ListedMap {
	readonly name: string;
	readonly set: NamedSet;
	/** Undefined if they are not in the form that l3dsr writes. */
	readonly elements: readonly ListedElement[] | undefined;
}

export interface TableListing {
	readonly family: Family;
	readonly handle: bigint;
	/** The table has flags, such as `dormant`, which l3dsr never sets. */
	readonly flagged: boolean;
	readonly chains: ReadonlyMap<string, ListedChain>;
	readonly maps: ReadonlyMap<string, ListedMap>;
	/** Kind and name of all other objects. */
	readonly others: readonly { readonly kind: string; readonly name: string }[];
}

/** `before`: an earlier listing. Rules that still exist, unchanged under the same handles, are taken from it. */
export function listTable(contents: TableContents, family: Family, before?: TableListing): TableListing {
	const isSameTable = before?.handle === contents.handle;
	const known = new Map(
		(isSameTable ? [...before.chains.values()] : []).flatMap(({ rules }) =>
			rules.map((rule) => [rule.handle, rule] as const),
		),
	);
	const chains = new Map<string, ListedChain & { rules: ListedRule[] }>(
		contents.chains.map(({ name, base }) => [name, { name, base, rules: [] }]),
	);
	for (const rule of contents.rules)
		chains.get(rule.chain)?.rules.push(listRule(rule, known.get(rule.handle)));
	const maps = contents.sets.filter(({ data }) => data !== undefined);
	return {
		family,
		handle: contents.handle,
		flagged: contents.flags.length > 0,
		chains,
		maps: new Map(maps.map((set) => [set.name, listMap(set)])),
		others: [
			...contents.sets.filter(({ data }) => data === undefined).map(({ name }) => ({ kind: "set", name })),
			...contents.objects.map(({ type, name }) => ({ kind: type, name })),
			...contents.flowtables.map((name) => ({ kind: "flowtable", name })),
		],
	};
}

function listRule({ handle, comment, expressions }: Rule, known: ListedRule | undefined): ListedRule {
	const counter = expressions.find((one) => one.kind === "counter");
	const counters = counter === undefined ? undefined : { packets: counter.packets, bytes: counter.bytes };
	if (known !== undefined) return { ...known, counters };
	const lookup = expressions.find(
		(one) => one.kind === "lookup" && one.destination !== undefined && typeof one.set === "string",
	);
	return {
		handle,
		comment,
		expressions,
		counters,
		map: lookup?.kind === "lookup" && typeof lookup.set === "string" ? lookup.set : undefined,
	};
}

function listMap(set: NamedSet): ListedMap {
	const elements = set.elements.flatMap(({ key, last, data, counter, comment, more }): ListedElement[] => {
		const ours = key !== undefined && last === undefined && data instanceof Uint8Array && more !== true;
		return ours ? [{ key, data, comment, counters: counter }] : [];
	});
	return { name: set.name, set, elements: elements.length === set.elements.length ? elements : undefined };
}
