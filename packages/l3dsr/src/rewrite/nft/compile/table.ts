/** An nf_tables table as plain data: the result of compiling a ruleset, before it is sent to the kernel. */
import type { Expression, SetSpec, TableId } from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";
import type { Counters } from "../../../model/rule.ts";

/** The name of the one table in each family. It must contain nothing else. */
const TABLE_NAME = "l3dsr";

/** The family's name in nf_tables: of tables, and of the header protocol. */
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
	/** Initial values of the counter, if the rule counts. */
	readonly counter?: Counters;
	readonly actions: readonly Expression[];
	/** The map that the rule looks up. */
	readonly map?: string;
	/** The ordinals of the entries that this rule belongs to; empty for the rules around them. */
	readonly ordinals: readonly number[];
}

/** DSCP → destination. */
export interface MapSpec {
	readonly set: SetSpec;
	readonly elements: readonly ElementSpec[];
}

export interface ElementSpec {
	/** The DSCP's bits in their place in the header. */
	readonly key: Uint8Array;
	/** The destination. */
	readonly data: Uint8Array;
	readonly comment: string;
	readonly ordinal: number;
	/** Initial values of the counter. */
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
