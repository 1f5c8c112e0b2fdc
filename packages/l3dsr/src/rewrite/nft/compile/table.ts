/** An nftables table as plain data: what a ruleset compiles to, before anything has touched the kernel. */
import type { Family } from "@l3dsr/packet";
import type { Counters } from "../../../model/rule.ts";
import type { Json, Statement } from "./statement.ts";

/** The one table of each family. Nothing else may live in it. */
export const TABLE_NAME = "l3dsr";

export interface TableSpec {
	readonly family: Family;
	readonly chains: readonly ChainSpec[];
	readonly maps: readonly MapSpec[];
}

/** Where a base chain hangs. */
export interface BaseChain {
	readonly type: "filter" | "route";
	readonly hook: string;
	readonly priority: number;
}

export interface ChainSpec {
	readonly name: string;
	/** Absent in chains that are only jumped to. */
	readonly base?: BaseChain;
	readonly rules: readonly RuleSpec[];
}

export interface RuleSpec {
	readonly comment?: string;
	readonly conditions: readonly Statement[];
	/** Present in rules that count: what they start with. */
	readonly counter?: Counters;
	readonly actions: readonly Statement[];
	/** The map that the rule looks up. */
	readonly map?: string;
	/** Of the entries that this rule is a part of; none for the frame around them. */
	readonly ordinals: readonly number[];
}

/** DSCP → destination. */
export interface MapSpec {
	readonly name: string;
	/** nft's `typeof` expressions of key and data. */
	readonly typeof: { readonly key: string; readonly data: string };
	readonly elements: readonly ElementSpec[];
}

export interface ElementSpec {
	/** The DSCP's bits as the header holds them. */
	readonly key: number;
	/** As nft reads it. */
	readonly data: string;
	/** The number that the bytes of the data are, to compare by. */
	readonly value: bigint;
	readonly comment: string;
	readonly ordinal: number;
	/** What the element starts with. */
	readonly counters: Counters;
}

/** What stands for a counter, whatever its numbers, where two rules are compared. */
export const LISTED_COUNTER: Json = Object.freeze({ counter: null });

/** The expressions of a rule as `nft -n -j list` prints them, its counter without numbers. */
export function listedExpressions(rule: RuleSpec): Json[] {
	return [
		...rule.conditions.flatMap(({ listed }) => listed),
		...(rule.counter === undefined ? [] : [LISTED_COUNTER]),
		...rule.actions.flatMap(({ listed }) => listed),
	];
}

/** {@link ruleText} → the listed expressions, where this host's nft has others than the compiler expects. */
export type Dialect = ReadonlyMap<string, string>;

/** What the compiler says itself. */
export const COMPILED_DIALECT: Dialect = new Map();

/** Everything of a rule but its comment and its counter's numbers, as nft reads it. */
export function ruleText({ conditions, counter, actions }: RuleSpec): string {
	const texts = [...conditions, ...actions].map(({ text }) => text).join(" ");
	return counter === undefined ? texts : `counter ${texts}`;
}
