/** Rewriting behind connection tracking shows it the request for one address and the answer from another. */
import type { Check } from "./check.ts";

export const checkConnectionTracking: Check = ({ configuration, inNetfilter, facts }) => {
	if (inNetfilter.size === 0 || configuration.table === "raw" || (facts.trackedConnections ?? 0) === 0)
		return [];
	return [
		{
			check: "connection-tracking",
			severity: "warning",
			message: `connection tracking is active (${facts.trackedConnections} entries) and table mangle comes after it: it sees half of each flow, and answers are NEW or INVALID to it`,
			remedy: "table: raw, which comes before it",
		},
	];
};
