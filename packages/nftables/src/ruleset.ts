/** What nf_tables holds, as values: tables, chains, rules and what else is in a table. Sets are in `set.ts`. */
import type { Expression } from "./expression.ts";
import type { NamedSet } from "./set.ts";
import type { Family, Hook, OBJECT_TYPES, TableFlag } from "./uapi.ts";

/** Names a table. */
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
	/** Netlink port of the socket that owns it: only that socket can change it, and takes it along when it closes. */
	readonly owner?: number;
}

/** Where a base chain is attached. */
export interface BaseChain {
	readonly type: "filter" | "route" | "nat";
	readonly hook: Hook;
	/** Smaller runs earlier. */
	readonly priority: number;
	readonly policy: "accept" | "drop";
	/** Of ingress and egress. */
	readonly devices?: readonly string[];
}

export interface ChainSpec {
	readonly name: string;
	/** Absent in chains that are only jumped to. */
	readonly base?: BaseChain;
	readonly comment?: string;
}

export interface Chain extends ChainSpec {
	readonly handle: bigint;
}

export interface RuleSpec {
	readonly expressions: readonly Expression[];
	/** At most 128 bytes in UTF-8, as nft(8) has it. */
	readonly comment?: string;
}

export interface Rule extends RuleSpec {
	readonly chain: string;
	readonly handle: bigint;
}

/** A named object: a counter and the like. */
export interface NamedObject {
	/** `unknown` for a kind of a newer kernel. */
	readonly type: keyof typeof OBJECT_TYPES | "unknown";
	readonly name: string;
	/** Of a counter. */
	readonly counter?: { readonly packets: bigint; readonly bytes: bigint };
}

/** A whole table, everything in the kernel's order. */
export interface TableContents extends Table {
	readonly chains: readonly Chain[];
	/** In order within each chain. */
	readonly rules: readonly Rule[];
	/** Those that have names; the sets of single rules are in their lookups. */
	readonly sets: readonly NamedSet[];
	readonly objects: readonly NamedObject[];
	/** Names. */
	readonly flowtables: readonly string[];
}

/** What was read, and what it was read at. */
export interface Snapshot {
	/** Changes with each change of the namespace's ruleset, whoever makes it. */
	readonly generation: number;
	readonly tables: readonly TableContents[];
}
