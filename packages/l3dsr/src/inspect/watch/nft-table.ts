/**
 * What `watch` adds before the nft datapath: a table that logs packets whose DSCP has rules, just before
 * the chain with those rules. Pure. The table has an owner: it disappears with the socket that created it,
 * and nobody else can change it.
 */
import {
	type Command,
	type Expression,
	field,
	match,
	meta,
	type TableId,
	type Value,
	verdict,
} from "@l3dsr/nftables";
import { addressBits, DSCP_COUNT, type Family, type Prefix } from "@l3dsr/packet";
import type { Chain, Rule, Table } from "../../model/rule.ts";
import { dscpsOf, planDispatch } from "../../rewrite/ebpf/compile/dispatch.ts";
import { baseChain, chainName } from "../../rewrite/nft/compile/compile.ts";
import { nftFamily } from "../../rewrite/nft/compile/table.ts";
import type { WatchFilter } from "./sighting.ts";

/** Headers of any usual length, and the transport ports after them. */
const SNAP_BYTES = 256;
export const LEFT_OUT = "left_out";

/** One chain with rules, in the order in which they run. */
export interface WatchedChain {
	readonly family: Family;
	readonly table: Table;
	readonly chain: Chain;
	readonly rules: readonly Rule[];
}

/** The prefix of its log messages: `raw PREROUTING`. */
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
	/** The NFLOG group. */
	readonly group: number;
	/** Packets per second, for each chain. */
	readonly rate: number;
	readonly filter: WatchFilter;
}

/** The commands that create the table of a family, or undefined if nothing in it is watched. */
export function watchTable(
	family: Family,
	chains: readonly WatchedChain[],
	options: TableOptions,
): readonly Command[] | undefined {
	const table = { family: nftFamily(family), name: options.name, flags: ["owner"] } as const;
	const parts = chains
		.filter((one) => one.family === family)
		.flatMap((one) => watchChain(one, table, options) ?? []);
	if (parts.length === 0) return undefined;
	return [
		{ do: "add table", table },
		{ do: "add object", table, object: { type: "counter", name: LEFT_OUT } },
		...parts,
	];
}

function watchChain(
	watched: WatchedChain,
	at: TableId,
	{ group, rate, filter }: TableOptions,
): readonly Command[] | undefined {
	const { family, table, chain, rules } = watched;
	const ip = nftFamily(family);
	const slotted = rules.map((rule, slot) => ({ rule, slot, ordinal: slot }));
	const codes = dscpsOf(planDispatch(slotted)).filter((code) => (filter.dscp ?? code) === code);
	const other = [filter.client?.address.family, filter.vip?.family].some((one) => (one ?? family) !== family);
	const vip = filter.vip?.text;
	if (codes.length === 0 || other) return undefined;
	if (vip !== undefined && !rules.some(({ target }) => target.daddr.text === vip)) return undefined;
	const device = chain === "OUTPUT" || chain === "POSTROUTING" ? "oifname" : "iifname";
	const { client, interface: name } = filter;
	const anyOf = codes.map((code) => ({ first: code, last: code }));
	const leave = verdict("return");
	const expressions: (readonly Expression[])[] = [
		...(codes.length === DSCP_COUNT ? [] : [[...match(field(`${ip} dscp`), "!=", { anyOf }), leave]]),
		...(client === undefined || client.length === 0
			? []
			: [[...match(field(`${ip} saddr`), "!=", prefixValue(client)), leave]]),
		...(name === undefined ? [] : [[...match(meta(device), "!=", { name, wildcard: false }), leave]]),
		[
			{ kind: "limit", type: "packets", rate: BigInt(rate), perSeconds: 1n, burst: rate, over: false },
			{ kind: "log", prefix: logPrefix(watched), group, snapLength: SNAP_BYTES },
			leave,
		],
		[{ kind: "object", type: "counter", name: LEFT_OUT }],
	];
	const { hook, priority } = baseChain(table, chain);
	const own = chainName(table, chain);
	const base = { type: "filter", hook, priority: priority - 1, policy: "accept" } as const;
	return [
		{ do: "add chain", table: at, chain: { name: own, base } },
		...expressions.map(
			(one): Command => ({ do: "add rule", table: at, chain: own, rule: { expressions: one } }),
		),
	];
}

/** A single address is compared as a whole. */
function prefixValue({ address, length }: Prefix): Value {
	const bytes = Uint8Array.from(address.bytes);
	return length === addressBits(address.family) ? bytes : { prefix: bytes, length };
}
