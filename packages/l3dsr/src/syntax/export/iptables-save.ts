/** The rules as iptables-save prints them, for `iptables-daddr-restore` and for hosts with the DADDR module. */
import type { Family } from "@l3dsr/packet";
import type { Rule, Table } from "../../model/rule.ts";
import { ZERO_COUNTERS } from "../../model/rule.ts";
import { saveTable } from "../iptables/listing.ts";
import { formatRuleSpec } from "../iptables/rule-format.ts";
import type { LeftOut, Printed, VipTable } from "./vip-table.ts";

export function printIptablesSave(family: Family): (table: VipTable) => Printed {
	return ({ rules, configuration }) => {
		const own = rules.map(ofModule).filter((rule) => rule.family === family);
		const tables = (["raw", "mangle"] as const).filter((table) => own.some((rule) => rule.table === table));
		const text = tables.map((table) => notes(own, table) + saveTable(table, listed(own, table), false));
		const left: LeftOut[] = rules
			.map(ofModule)
			.filter((rule) => rule.family !== family)
			.map((rule) => ({
				what: `-A ${rule.chain} ${formatRuleSpec(rule)}`,
				why: `it is for ${rule.family}: export ${family === "ipv4" ? "ip6tables-save" : "iptables-save"}`,
				isRule: true,
			}));
		for (const { name: what, selection, vip } of configuration.services) {
			if (selection === undefined && vip.family === family) left.push({ what, why: "L2DSR has no rules" });
		}
		return { text: text.join(""), left };
	};
}

function listed(rules: readonly Rule[], table: Table): Parameters<typeof saveTable>[1] {
	return (chain) =>
		rules
			.filter((rule) => rule.table === table && rule.chain === chain)
			.map((rule) => ({ rule, counters: ZERO_COUNTERS }));
}

function notes(rules: readonly Rule[], table: Table): string {
	const beyond = rules.some(
		(rule) => rule.table === table && (rule.target.clearDscp || rule.target.dport !== undefined),
	);
	return beyond
		? "# --set-dport and --clear-dscp exist only in iptables-daddr, not in the DADDR module\n"
		: "";
}

/** Without options that only add packets that the module does not take. */
function ofModule(rule: Rule): Rule {
	const { icmpErrors: _, laterFragments: __, ...target } = rule.target;
	return { ...rule, target };
}
