/** A rule that rewrites DSCP before ours sees the packet hides the code. */
import { TABLE_PRIORITY } from "../../model/rule.ts";
import type { Check } from "./check.ts";

export const checkDscpRemarked: Check = ({ configuration, inNetfilter, facts }) => {
	// A program at tc ingress or XDP sees packets before netfilter does.
	const families = new Set(
		configuration.services.flatMap(({ vip, selection }) =>
			selection?.dscp === undefined || !inNetfilter.has(vip.family) ? [] : [vip.family],
		),
	);
	return facts.dscpWriters
		.filter(({ family }) => (family === undefined ? families.size > 0 : families.has(family)))
		.filter(
			({ hook, priority }) =>
				hook === "ingress" || (hook === "prerouting" && priority <= TABLE_PRIORITY[configuration.table]),
		)
		.map(({ place, hook }) => ({
			check: "dscp-remarked",
			severity: "error",
			message: `${place} (${hook}) writes DSCP before the rules of services see it: codes may be lost`,
			remedy:
				"exclude the services' codes from that rule, or move it after them (a priority above that of the table)",
		}));
};
