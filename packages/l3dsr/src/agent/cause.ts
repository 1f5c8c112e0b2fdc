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
	/** What was changed on the network: `192.0.2.10 on lo`, or the name of an interface. */
	readonly object?: string;
}

/** An interface was created, deleted or renamed. */
export interface LinkEvent {
	/** Two if it was renamed. */
	readonly names: readonly string[];
	/** `interface eth0 was deleted`. */
	readonly text: string;
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
	/** Services that had been stopped, because IPv6 was disabled, can run again. */
	readonly resumed: boolean;
	/** One transaction deleted several tables, and one of ours among them. */
	readonly flushed: boolean;
	/** The programs of an interface on which ours run have changed. */
	readonly programGone: boolean;
	readonly links: readonly LinkEvent[];
	readonly changes: readonly ReportedChange[];
	/** Process names from /proc/PID/comm; called only when the cause depends on them. */
	readonly running: () => ReadonlySet<string>;
}

export function causeOf(input: CauseInput): Cause {
	const { observed, drift, resumed, flushed, programGone, links, changes, running } = input;
	const traces = resumed ? new Set<Trace>(["ipv6"]) : tracesOf(observed, drift, { known: true });
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
		: links.some((link) => mayHaveTakenRules(link, drift))
			? "network"
			: programGone || traces.has("program")
				? "program"
				: named;
	const on = OF_RULESET.has(kind) ? "ruleset" : OF_NETWORK.has(kind) ? "network" : undefined;
	const by = changes.findLast(
		(change) => change.on === on && (kind === "network" || explains(change, drift)),
	);
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

/**
 * A program goes with its interface. Rules of nftables stay: an interface of a container that appears at the same time
 * has nothing to do with them.
 */
function mayHaveTakenRules({ names }: LinkEvent, drift: readonly Finding[]): boolean {
	return drift.some(
		({ kind, rule }) => kind === "director-missing" || names.includes(rule?.header.inInterface?.name ?? ""),
	);
}

/** On a busy host other addresses change at the same time. An IPv6 VIP goes when `lo` is set down. */
function explains({ on, object }: ReportedChange, drift: readonly Finding[]): boolean {
	return (
		on === "ruleset" || object === "lo" || drift.some((one) => one.object.replace(/\/\d+ /, " ") === object)
	);
}

function networkCauses(links: readonly LinkEvent[]): readonly string[] {
	return links.length > 0
		? links.map(({ text }) => text)
		: ["the addresses of this host have changed (DHCP, VRRP, an operator)"];
}
