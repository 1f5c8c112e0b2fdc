/** Infers from a drift what somebody may have done. */
import { type Address, sameAddress } from "@l3dsr/packet";
import type { Trace } from "../../host/suspects.ts";
import type { Finding } from "../../model/finding.ts";
import { signatureOf } from "../../model/lower-service.ts";
import { guardFor } from "../../model/vip-guard.ts";
import type { HostState } from "../../plan/host-state.ts";
import type { ObservedHost } from "../../reconcile/observe.ts";

/** Findings that remain after somebody changed rules other than by deleting all of them. */
const OF_RULES: readonly Finding["kind"][] = [
	"damage",
	"answers-missing",
	"answers-superfluous",
	"rule-duplicate",
	"rule-superfluous",
];

interface TraceOptions {
	/** The host was as configured before, even if nothing of ours is left. */
	readonly known?: boolean;
}

export function tracesOf(
	{ state, snapshot }: Pick<ObservedHost, "state" | "snapshot">,
	drift: readonly Finding[],
	{ known = false }: TraceOptions = {},
): Set<Trace> {
	const traces = new Set<Trace>();
	const { guard, findings, rules } = state;
	const kinds = new Set(drift.map(({ kind }) => kind));
	const ours =
		known ||
		guard.held.length > 0 ||
		findings.length > 0 ||
		rules.some(({ rule }) => signatureOf(rule) !== undefined) ||
		(kinds.has("guard") && !kinds.has("address-missing") && !kinds.has("rule-to-take-over"));
	// A host on which up has never run, or that dsrctl serves, needs no explanation.
	if (!ours) return traces;
	const ofLo = kinds.has("address-missing") || kinds.has("address-superfluous");
	// A VIP that appeared on lo or disappeared also changes the host's addresses.
	if (kinds.has("network") && !ofLo && !kinds.has("stopped")) traces.add("network");
	if (kinds.has("stopped")) traces.add("ipv6");
	// Either somebody has changed the guard, or it was created while another interface had the VIP, as on a
	// VRRP master.
	if (kinds.has("guard") && exposedOf(state).length > 0) traces.add("network");
	const rulesGone = kinds.has("rule-missing");
	const gone = rulesGone || kinds.has("guard");
	// If every table is gone, eBPF programs stay.
	const ofNft =
		guard.held.length > 0 || guard.altered || snapshot.rules.some(({ datapath }) => datapath === "nft");
	const answersGone = kinds.has("answers-missing");
	const nothingLeft =
		!ofNft && findings.every(({ kind }) => kind === "network" || kind === "answers-missing");
	if (gone && nothingLeft && !kinds.has("address-missing")) {
		traces.add("everything-of-nft");
		// If the guard was our only table in nf_tables, deleting it alone looks the same.
		if (!rulesGone && !answersGone) traces.add("rules");
	} else if (gone || OF_RULES.some((kind) => kinds.has(kind))) {
		traces.add("rules");
		if (mayBeProgram(drift, rules)) traces.add("program");
	}
	if (ofLo) traces.add("addresses");
	return traces;
}

/** Rules are missing, and nothing of ours is left on the interfaces that they name or in nftables. */
function mayBeProgram(drift: readonly Finding[], rules: HostState["rules"]): boolean {
	// Without the program, the translation of its answers is not needed.
	const others: ReadonlySet<Finding["kind"]> = new Set(["address-missing", "network", "answers-superfluous"]);
	const ofRules = drift.filter(({ kind }) => !others.has(kind));
	const left = rules.filter(({ rule }) => signatureOf(rule) !== undefined).map(({ rule }) => rule.header);
	const named = new Set(left.map(({ inInterface }) => inInterface?.name));
	return (
		ofRules.length > 0 &&
		!named.has(undefined) &&
		ofRules.every(({ kind, rule }) => {
			const name = rule?.header.inInterface?.name;
			return kind === "rule-missing" && name !== undefined && !named.has(name);
		})
	);
}

/** VIPs that the guard should silence but does not, with the host's current addresses. */
function exposedOf({ guard: { guard, held }, links }: HostState): readonly Address[] {
	if (guard === undefined) return [];
	const wanted = guardFor(held, links)?.silent ?? [];
	return wanted.filter((vip) => !guard.silent.some((one) => sameAddress(one, vip)));
}
