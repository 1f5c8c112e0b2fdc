/**
 * Finds the likely cause of a repair from the drift and from what the kernel reported about who made the change.
 * Pure.
 */
import { suspectsFor, type Trace } from "../host/suspects.ts";
import { tracesOf } from "../inspect/status/traces.ts";
import type { Finding } from "../model/finding.ts";
import type { ObservedHost } from "../reconcile/observe.ts";
import type { Cause, CauseKind } from "./record.ts";

/** A change that the kernel reported, and the process that made it. */
export interface ReportedChange {
	readonly on: "ruleset" | "network";
	readonly process: number;
	/** From /proc/PID/comm, or as the kernel reports it. */
	readonly program?: string;
}

/** In order: the first trace that was found decides the kind. */
const KIND_OF: readonly (readonly [trace: Trace, kind: CauseKind])[] = [
	["everything-of-nft", "ruleset-flushed"],
	["ipv6", "ipv6"],
	["network", "network"],
	["rules", "rules"],
	["addresses", "vip-addresses"],
];

const OF_RULESET: ReadonlySet<CauseKind> = new Set(["ruleset-flushed", "rules"]);
const OF_NETWORK: ReadonlySet<CauseKind> = new Set(["vip-addresses", "network"]);

export interface CauseInput {
	readonly observed: Pick<ObservedHost, "state" | "snapshot">;
	readonly drift: readonly Finding[];
	/** One transaction deleted tables of ours and of others. */
	readonly flushed: boolean;
	/** The programs of an interface on which ours run have changed. */
	readonly programGone: boolean;
	/** Interfaces that were created, deleted or renamed, as sentences. */
	readonly links: readonly string[];
	readonly changes: readonly ReportedChange[];
	/** Process names from /proc/PID/comm; called only when the cause depends on them. */
	readonly running: () => ReadonlySet<string>;
}

export function causeOf(input: CauseInput): Cause {
	const { observed, drift, flushed, programGone, links, changes, running } = input;
	const traces = tracesOf(observed, drift);
	// A repair comes after a start: a program that is missing now was there before.
	if (drift.some((one) => one.kind === "director-missing")) traces.add("program");
	if (flushed && traces.delete("rules")) traces.add("everything-of-nft");
	// If both are possible, keep the one that the kernel reported.
	const [byRuleset, byNetwork] = [told(changes, "ruleset"), told(changes, "network")];
	if (traces.has("network") && traces.has("rules") && byRuleset !== byNetwork) {
		traces.delete(byRuleset ? "network" : "rules");
	}
	// If both traces are there, a flush is only one possibility.
	const named =
		KIND_OF.find(
			([trace]) => traces.has(trace) && !(trace === "everything-of-nft" && traces.has("rules")),
		)?.[1] ?? "unknown";
	const mayBeProgram = named === "rules" || named === "unknown";
	const kind = !mayBeProgram
		? named
		: links.length > 0
			? "network"
			: programGone || traces.has("program")
				? "program"
				: named;
	const on = OF_RULESET.has(kind) ? "ruleset" : OF_NETWORK.has(kind) ? "network" : undefined;
	const by = changes.findLast((change) => change.on === on);
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

function told(changes: readonly ReportedChange[], where: ReportedChange["on"]): boolean {
	return changes.some(({ on }) => on === where);
}

function networkCauses(links: readonly string[]): readonly string[] {
	return links.length > 0 ? links : ["the addresses of this host have changed (DHCP, VRRP, an operator)"];
}
