/**
 * Rules of iptables-legacy in the shape that nf_tables has for those of iptables-nft, so that both are judged alike.
 * Pure.
 */
import type { LegacyHook, LegacyRule, LegacyTable } from "@l3dsr/linux";
import type { Expression, TableContents } from "@l3dsr/nftables";
import { TABLE_PRIORITY } from "../model/rule.ts";

/** Includes tables that are not ours; nat has other priorities where it changes the source. */
const PRIORITY: Readonly<Record<string, number>> = { ...TABLE_PRIORITY, filter: 0, security: 50 };
const NAT_PRIORITY: Readonly<Record<LegacyHook, number>> = {
	prerouting: -100,
	output: -100,
	input: 100,
	forward: 0,
	postrouting: 100,
};

/** What the name of such a table ends with: nf_tables may have a table of the same name. */
export const OF_LEGACY = " of iptables-legacy";

export function tableOfLegacy({ family, name, chains, rules }: LegacyTable): TableContents {
	return {
		family: family === "ipv4" ? "ip" : "ip6",
		name: `${name}${OF_LEGACY}`,
		flags: [],
		handle: 0n,
		chains: chains.map(({ name: chain, base }) => ({
			name: chain,
			handle: 0n,
			...(base === undefined
				? {}
				: {
						base: {
							type: name === "nat" ? "nat" : "filter",
							...base,
							priority: name === "nat" ? NAT_PRIORITY[base.hook] : (PRIORITY[name] ?? 0),
						},
					}),
		})),
		rules: rules.map((rule) => ({ chain: rule.chain, handle: 0n, expressions: expressionsOf(rule) })),
		sets: [],
		objects: [],
		flowtables: [],
	};
}

function expressionsOf({ matches, target }: LegacyRule): Expression[] {
	const asked = matches.map((match): Expression => ({ kind: "match", ...match }));
	switch (target.kind) {
		case "extension":
			return [...asked, { kind: "target", ...target.extension }];
		case "verdict":
			return [...asked, { kind: "verdict", verdict: target.verdict }];
		case "jump":
			return [...asked, { kind: "verdict", verdict: "jump", chain: target.chain }];
		case "none":
			return asked;
	}
}
