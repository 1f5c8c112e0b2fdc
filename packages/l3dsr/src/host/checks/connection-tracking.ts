/**
 * If packets are rewritten after connection tracking, it sees the request for one address and the answer from
 * another.
 */
import type { Check, CheckFinding } from "./check.ts";

const REMEDY_BY_HAND =
	"iptables-daddr -t raw -A PREROUTING … instead: table raw comes before connection tracking";

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
						message: `connection tracking is ${state} and table mangle comes after it: it sees half of each flow, and classifies answers as NEW or INVALID`,
						remedy: "table: raw, which comes before connection tracking",
					},
				];
	const byHand = tracked.map(
		(place): CheckFinding => ({
			check: "connection-tracking",
			severity: "warning",
			message: `connection tracking is ${state} and the DADDR rules of ${place} come after it: with a firewall that drops INVALID packets, or accepts only NEW and ESTABLISHED, connections hang after the handshake`,
			remedy: REMEDY_BY_HAND,
		}),
	);
	return [...ofServices, ...byHand];
};
