/** Rules as a script for `nft -f`: what the datapath itself sends on a host without any rules. Pure. */
import { printCommand } from "@l3dsr/nftables";
import type { Rule } from "../../../model/rule.ts";
import { ORDINAL_STEP, type RuleEntry } from "../../../model/ruleset.ts";
import { planChange } from "./change.ts";
import { tableOf } from "./table.ts";

/** Replaces l3dsr's tables on the host that runs it, in one transaction. Rules are in the order of their chains. */
export function nftScript(rules: readonly Rule[]): string {
	return (["ipv4", "ipv6"] as const)
		.map((family) => {
			const entries = rules
				.filter((rule) => rule.family === family)
				.map((rule, index): RuleEntry => ({ rule, ordinal: (index + 1) * ORDINAL_STEP }));
			if (entries.length === 0) return "";
			const { swap } = planChange(family, { entries }, undefined);
			const table = tableOf(family);
			const commands = [{ do: "add table", table }, { do: "delete table", table }, ...swap] as const;
			return commands.map((command) => `${printCommand(command)}\n`).join("");
		})
		.join("");
}
