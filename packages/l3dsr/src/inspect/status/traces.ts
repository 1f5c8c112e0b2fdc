/** What a drift looks like as the trace of somebody's doing. */
import type { Trace } from "../../host/suspects.ts";
import type { Finding } from "../../model/finding.ts";
import { signatureOf } from "../../model/lower-service.ts";
import type { HostState } from "../../plan/host-state.ts";

export function tracesOf(observed: HostState, drift: readonly Finding[]): Set<Trace> {
	const traces = new Set<Trace>();
	const kinds = new Set(drift.map(({ kind }) => kind));
	const ours =
		observed.guard.held.length > 0 ||
		observed.findings.length > 0 ||
		observed.rules.some(({ rule }) => signatureOf(rule) !== undefined) ||
		(kinds.has("guard") && !kinds.has("address-missing"));
	// A host on which up has never run is nobody's doing.
	if (!ours) return traces;
	const ofLo = kinds.has("address-missing") || kinds.has("address-superfluous");
	// A VIP that has come or gone on lo is another address of the host, too.
	if (kinds.has("network") && !ofLo && !kinds.has("stopped")) traces.add("network");
	if (kinds.has("stopped")) traces.add("ipv6");
	const gone = kinds.has("rule-missing") || kinds.has("guard");
	const nothingLeft = observed.rules.length === 0 && observed.guard.held.length === 0;
	if (gone && nothingLeft && observed.findings.length === 0 && !kinds.has("address-missing")) {
		traces.add("everything-of-nft");
	} else if (gone || kinds.has("damage") || kinds.has("rule-duplicate") || kinds.has("rule-superfluous")) {
		traces.add("rules");
	}
	if (ofLo) traces.add("addresses");
	return traces;
}
