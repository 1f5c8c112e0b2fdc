/** What the datapath sends if there are no tables of l3dsr. Pure. */
import type { Command, TableId } from "@l3dsr/nftables";
import type { RuleEntry } from "../../../model/ruleset.ts";
import type { DatapathFinding } from "../../datapath.ts";
import { type KernelFacts, planChange, type TableWish } from "./change.ts";
import { missingTable } from "./observe.ts";
import { tableOf } from "./table.ts";

export interface WholeTable {
	readonly table: TableId;
	/** The rules that are in force through this table. */
	readonly entries: readonly RuleEntry[];
	readonly commands: readonly Command[];
	/** The findings if the table is missing. */
	readonly findings: readonly DatapathFinding[];
}

/** The tables that these rules need, each as one transaction. */
export function wholeTables({ entries, answered = [] }: TableWish, kernel: KernelFacts): WholeTable[] {
	return (["ipv4", "ipv6"] as const).flatMap((family): WholeTable[] => {
		const wish = {
			entries: entries.filter(({ rule }) => rule.family === family),
			answered: answered.filter((rule) => rule.family === family),
		};
		const { swap } = planChange(family, wish, undefined, kernel);
		if (swap.length === 0) return [];
		return [
			{
				table: tableOf(family),
				entries: wish.entries,
				commands: swap,
				findings: missingTable(family, wish.answered),
			},
		];
	});
}
