/** A table of nf_tables as plain data: what a ruleset compiles to, before anything has touched the kernel. */
import type { Expression, SetSpec, TableId } from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";
import type { Counters } from "../../../model/rule.ts";

/** The one table of each family. Nothing else may live in it. */
const TABLE_NAME = "l3dsr";

/** The family as nf_tables calls it: of tables, and of the header protocol. */
export function nftFamily(family: Family): "ip" | "ip6" {
	return family === "ipv4" ? "ip" : "ip6";
}

export function tableOf(family: Family): TableId & { readonly family: "ip" | "ip6" } {
	return { family: nftFamily(family), name: TABLE_NAME };
}

export interface TableSpec {
	readonly family: Family;
	readonly chains: readonly ChainSpec[];
	readonly maps: readonly MapSpec[];
}

/** Where a base chain is attached. */
export interface BaseChain {
	readonly type: "filter" | "route";
	readonly hook: "prerouting" | "input" | "forward" | "output" | "postrouting";
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
	readonly conditions: readonly Expression[];
	/** Present in rules that count: what they start with. */
	readonly counter?: Counters;
	readonly actions: readonly Expression[];
	/** The map that the rule looks up. */
	readonly map?: string;
	/** Of the entries that this rule is a part of; none for the frame around them. */
	readonly ordinals: readonly number[];
}

/** DSCP → destination. */
export interface MapSpec {
	readonly set: SetSpec;
	readonly elements: readonly ElementSpec[];
}

export interface ElementSpec {
	/** The DSCP's bits as the header holds them. */
	readonly key: Uint8Array;
	/** The destination. */
	readonly data: Uint8Array;
	readonly comment: string;
	readonly ordinal: number;
	/** What the element starts with. */
	readonly counters: Counters;
}

/** All of a rule's expressions, in order. */
export function ruleExpressions({ conditions, counter, actions }: RuleSpec): readonly Expression[] {
	return [
		...conditions,
		...(counter === undefined ? [] : [{ kind: "counter" as const, ...counter }]),
		...actions,
	];
}
