/** Rewriting behind connection tracking shows it the request for one address and the answer from another. */
import type { Check, CheckFinding } from "./check.ts";

const REMEDY_BY_HAND =
	"iptables-daddr -t raw -A PREROUTING … in their place: table raw comes before connection tracking";

export const checkConnectionTracking: Check = ({ configuration, inNetfilter, tracked, facts }) => {
	const entries = facts.trackedConnections ?? 0;
	if (entries === 0 && facts.trackers.length === 0) return [];
	const state = entries > 0 ? `active (${entries} entries)` : "active";
	const ofServices: CheckFinding[] =
		inNetfilter.size === 0 || configuration.table === "raw"
			? []
			: [
					{
						check: "connection-tracking",
						severity: "warning",
						message: `connection tracking is ${state} and table mangle comes after it: it sees half of each flow, and answers are NEW or INVALID to it`,
						remedy: "table: raw, which comes before it",
					},
				];
	const byHand = tracked.map(
		(place): CheckFinding => ({
			check: "connection-tracking",
			severity: "warning",
			message: `connection tracking is ${state} and the DADDR rules of ${place} come after it: a firewall that drops what is INVALID to it, or takes only NEW and ESTABLISHED, lets connections hang behind the handshake`,
			remedy: REMEDY_BY_HAND,
		}),
	);
	return [...ofServices, ...byHand];
};
