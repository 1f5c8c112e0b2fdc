/** A rule that rewrites DSCP before ours sees the packet hides the code. */
import type { Table } from "../../model/rule.ts";
import type { Check } from "./check.ts";

/** Netfilter priorities of the tables in PREROUTING (linux/netfilter_ipv4.h). */
const PRIORITY: Readonly<Record<Table, number>> = { raw: -300, mangle: -150 };

export const checkDscpRemarked: Check = ({ configuration, facts }) => {
	if (!configuration.services.some(({ selection }) => selection?.dscp !== undefined)) return [];
	return facts.dscpWriters
		.filter(
			({ hook, priority }) =>
				hook === "ingress" || (hook === "prerouting" && priority <= PRIORITY[configuration.table]),
		)
		.map(({ place, hook }) => ({
			check: "dscp-remarked",
			severity: "error",
			message: `${place} (${hook}) writes DSCP before the rules of services see it: codes may be lost`,
			remedy:
				"let that rule leave the services' codes alone, or move it behind (priority above that of the table)",
		}));
};
