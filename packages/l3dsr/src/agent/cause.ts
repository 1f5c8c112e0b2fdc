/** The likely cause of a repair, from what was found changed and from what the kernel told of who changed it. Pure. */
import { suspectsFor, type Trace } from "../host/suspects.ts";
import { tracesOf } from "../inspect/status/traces.ts";
import type { Finding } from "../model/finding.ts";
import type { ObservedHost } from "../reconcile/observe.ts";
import type { Cause, CauseKind } from "./record.ts";

/** A change that the kernel told of, and by whom. */
export interface Deed {
	readonly on: "ruleset" | "network";
	readonly process: number;
	/** As /proc/PID/comm has it, or as the kernel says. */
	readonly program?: string;
}

/** The one that explains most comes first. */
const KIND_OF: readonly (readonly [trace: Trace, kind: CauseKind])[] = [
	["everything-of-nft", "ruleset-flushed"],
	["ipv6", "ipv6"],
	["network", "network"],
	["rules", "rules"],
	["addresses", "vip-addresses"],
];

const OF_RULESET: ReadonlySet<CauseKind> = new Set(["ruleset-flushed", "rules"]);
const OF_NETWORK: ReadonlySet<CauseKind> = new Set(["vip-addresses", "network"]);

export interface Circumstances {
	readonly observed: Pick<ObservedHost, "state" | "snapshot">;
	readonly drift: readonly Finding[];
	/** A transaction has deleted tables of ours and of others. */
	readonly flushed: boolean;
	/** Programs of ours were seen to be gone from an interface. */
	readonly programGone: boolean;
	/** Interfaces that came or went, as sentences. */
	readonly links: readonly string[];
	readonly deeds: readonly Deed[];
	/** Names of processes, as /proc/PID/comm has them; asked only where it matters. */
	readonly running: () => ReadonlySet<string>;
}

export function causeOf(circumstances: Circumstances): Cause {
	const { observed, drift, flushed, programGone, links, deeds, running } = circumstances;
	const traces = tracesOf(observed, drift);
	if (flushed && traces.delete("rules")) traces.add("everything-of-nft");
	// Of two that are possible, the one that the kernel has told of.
	const [byRuleset, byNetwork] = [told(deeds, "ruleset"), told(deeds, "network")];
	if (traces.has("network") && traces.has("rules") && byRuleset !== byNetwork) {
		traces.delete(byRuleset ? "network" : "rules");
	}
	// With the other trace beside it, a flush is possible and nothing more.
	const named =
		KIND_OF.find(
			([trace]) => traces.has(trace) && !(trace === "everything-of-nft" && traces.has("rules")),
		)?.[1] ?? "unknown";
	const kind =
		links.length > 0 && (named === "rules" || named === "unknown")
			? "network"
			: programGone && named === "rules"
				? "program"
				: named;
	const on = OF_RULESET.has(kind) ? "ruleset" : OF_NETWORK.has(kind) ? "network" : undefined;
	const by = deeds.findLast((deed) => deed.on === on);
	return {
		kind,
		suspects:
			kind === "network"
				? networkCauses(links)
				: suspectsFor(traces, traces.size === 0 ? new Set() : running()),
		...(by === undefined
			? {}
			: {
					by: { process: by.process, ...(by.program === undefined ? {} : { program: by.program }) },
				}),
	};
}

function told(deeds: readonly Deed[], where: Deed["on"]): boolean {
	return deeds.some(({ on }) => on === where);
}

function networkCauses(links: readonly string[]): readonly string[] {
	return links.length > 0 ? links : ["the addresses of this host have changed (DHCP, VRRP, an operator)"];
}
