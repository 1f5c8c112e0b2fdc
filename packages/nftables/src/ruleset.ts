/** The contents of nf_tables as values: tables, chains, rules and other objects. `set.ts` has the sets. */
import type { Expression } from "./expression.ts";
import type { NamedSet } from "./set.ts";
import type { Family, Hook, OBJECT_TYPES, TableFlag } from "./uapi.ts";

/** Identifies a table. */
export interface TableId {
	readonly family: Family;
	readonly name: string;
}

export interface TableSpec extends TableId {
	readonly flags?: readonly TableFlag[];
	readonly comment?: string;
}

export interface Table extends TableSpec {
	readonly flags: readonly TableFlag[];
	readonly handle: bigint;
	/**
	 * Netlink port of the socket that owns the table: only that socket can change it, and the table is
	 * deleted when the socket closes.
	 */
	readonly owner?: number;
}

/** Where a base chain is attached. */
export interface BaseChain {
	readonly type: "filter" | "route" | "nat";
	readonly hook: Hook;
	/** Chains with lower priorities run first. */
	readonly priority: number;
	readonly policy: "accept" | "drop";
	/** Hooks ingress and egress only. */
	readonly devices?: readonly string[];
	/** The network card handles the chain's rules. */
	readonly offload?: true;
}

export interface ChainSpec {
	readonly name: string;
	/** Absent for chains that only jumps reach. */
	readonly base?: BaseChain;
	readonly comment?: string;
}

export interface Chain extends ChainSpec {
	readonly handle: bigint;
}

export interface RuleSpec {
	readonly expressions: readonly Expression[];
	/** At most 128 bytes of UTF-8, the limit of nft. */
	readonly comment?: string;
}

export interface Rule extends RuleSpec {
	readonly chain: string;
	readonly handle: bigint;
}

/** A named object, such as a counter. */
export interface NamedObject {
	/** `unknown`: a type that only newer kernels have. */
	readonly type: keyof typeof OBJECT_TYPES | "unknown";
	readonly name: string;
	/** Counters only. */
	readonly counter?: { readonly packets: bigint; readonly bytes: bigint };
	readonly comment?: string;
}

/** A whole table; everything is in the kernel's order. */
export interface TableContents extends Table {
	readonly chains: readonly Chain[];
	/** In order within each chain. */
	readonly rules: readonly Rule[];
	/** Named sets; an anonymous set is in the lookup of its rule. */
	readonly sets: readonly NamedSet[];
	readonly objects: readonly NamedObject[];
	/** Names. */
	readonly flowtables: readonly string[];
}

/** The tables that were read, and their generation. */
export interface Snapshot {
	/** Increases with each change of the namespace's ruleset, whichever process made it. */
	readonly generation: number;
	readonly tables: readonly TableContents[];
}
