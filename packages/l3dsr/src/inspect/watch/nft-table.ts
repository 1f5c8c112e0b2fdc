/**
 * What hangs in front of the nft datapath while somebody watches: a table that logs packets whose DSCP has
 * rules, just before the chain with those rules. Pure.
 *
 * The table has an owner: it is gone when the nft process that made it is, and nobody else can change it.
 */

import type { Family } from "@l3dsr/packet";
import type { Chain, Rule, Table } from "../../model/rule.ts";
import { DSCP_COUNT } from "../../programs/ip-header.ts";
import { dscpsOf, planDispatch } from "../../rewrite/ebpf/compile/dispatch.ts";
import { baseChain, chainName } from "../../rewrite/nft/compile/compile.ts";
import { nftFamily } from "../../rewrite/nft/compile/statement.ts";
import type { WatchFilter } from "./sighting.ts";

/** Headers of any length that is met, and transport ports behind them. */
const SNAP_BYTES = 256;
export const LEFT_OUT = "left_out";

/** One chain with rules, in the order in which they run. */
export interface WatchedChain {
	readonly family: Family;
	readonly table: Table;
	readonly chain: Chain;
	readonly rules: readonly Rule[];
}

/** What its packets are logged under: `raw PREROUTING`. */
export function logPrefix({ table, chain }: Pick<WatchedChain, "table" | "chain">): string {
	return `${table} ${chain}`;
}

/** Rules to chains, each in ordinal order as observed. */
export function watchedChains(rules: readonly Rule[]): readonly WatchedChain[] {
	const chains = new Map<string, { family: Family; table: Table; chain: Chain; rules: Rule[] }>();
	for (const rule of rules) {
		const { family, table, chain } = rule;
		const key = `${family} ${table} ${chain}`;
		const known = chains.get(key) ?? { family, table, chain, rules: [] };
		known.rules.push(rule);
		chains.set(key, known);
	}
	return [...chains.values()];
}

export interface TableOptions {
	readonly name: string;
	/** Of NFLOG. */
	readonly group: number;
	/** Packets per second, for each chain. */
	readonly rate: number;
	readonly filter: WatchFilter;
}

/** One command that makes the table of a family, or undefined when nothing in it is asked for. */
export function watchTable(
	family: Family,
	chains: readonly WatchedChain[],
	options: TableOptions,
): string | undefined {
	const parts = chains
		.filter((one) => one.family === family)
		.flatMap((one) => watchChain(one, options) ?? []);
	if (parts.length === 0) return undefined;
	const objects = [`counter ${LEFT_OUT} { }`, ...parts].map((part) => `${part} ;`).join(" ");
	return `add table ${nftFamily(family)} ${options.name} { flags owner; ${objects} }`;
}

function watchChain(watched: WatchedChain, options: TableOptions): string | undefined {
	const { family, table, chain, rules } = watched;
	const { group, rate, filter } = options;
	const ip = nftFamily(family);
	const slotted = rules.map((rule, slot) => ({ rule, slot, ordinal: slot }));
	const codes = dscpsOf(planDispatch(slotted)).filter((code) => (filter.dscp ?? code) === code);
	const other = [filter.client?.address.family, filter.vip?.family].some((one) => (one ?? family) !== family);
	const vip = filter.vip?.text;
	if (codes.length === 0 || other) return undefined;
	if (vip !== undefined && !rules.some(({ target }) => target.daddr.text === vip)) return undefined;
	const device = chain === "OUTPUT" || chain === "POSTROUTING" ? "oifname" : "iifname";
	const { hook, priority } = baseChain(table, chain);
	const conditions = [
		...(codes.length === DSCP_COUNT ? [] : [`${ip} dscp != { ${codes.join(", ")} } return`]),
		...(filter.client === undefined
			? []
			: [`${ip} saddr != ${filter.client.address.text}/${filter.client.length} return`]),
		...(filter.interface === undefined ? [] : [`${device} != "${filter.interface}" return`]),
		`limit rate ${rate}/second burst ${rate} packets ` +
			`log prefix "${logPrefix(watched)}" group ${group} snaplen ${SNAP_BYTES} return`,
		`counter name ${LEFT_OUT}`,
	];
	const base = `type filter hook ${hook} priority ${priority - 1};`;
	return `chain ${chainName(table, chain)} { ${base} ${conditions.join("; ")}; }`;
}
