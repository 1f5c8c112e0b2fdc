/** Rules as a script for `nft -f`: what the engine itself gives to nft on a host that has none yet. Pure. */
import type { Rule } from "../../../model/rule.ts";
import { ORDINAL_STEP, type RuleEntry } from "../../../model/ruleset.ts";
import { planChange } from "./change.ts";
import { nftFamily } from "./statement.ts";
import { TABLE_NAME } from "./table.ts";

/** Replaces l3dsr's tables on the host that runs it, in one transaction. Rules in the order of their chains. */
export function nftScript(rules: readonly Rule[]): string {
	return (["ipv4", "ipv6"] as const)
		.map((family) => {
			const entries = rules
				.filter((rule) => rule.family === family)
				.map((rule, index): RuleEntry => ({ rule, ordinal: (index + 1) * ORDINAL_STEP }));
			if (entries.length === 0) return "";
			const { swap } = planChange(family, entries, undefined);
			const table = `table ${nftFamily(family)} ${TABLE_NAME}`;
			const lines = [`add ${table}`, `delete ${table}`, ...swap.map(({ text }) => text)];
			return lines.map((line) => `${line}\n`).join("");
		})
		.join("");
}
