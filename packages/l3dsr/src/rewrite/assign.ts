/**
 * Assigns each rule to a datapath (`datapath: auto`), with the reason. Pure.
 *
 * A program at tc ingress or XDP sees a packet before every netfilter hook. So a rule may go there only if running it
 * early changes nothing: every rule before it goes there too, or those that stay on nft can never match the same
 * packet.
 */
import type { Missing } from "../host/capabilities.ts";
import type { DatapathChoice } from "../model/configuration.ts";
import { signatureOf } from "../model/lower-service.ts";
import type { Match, Rule } from "../model/rule.ts";
import { placeOf, type RuleEntry, type Ruleset } from "../model/ruleset.ts";
import { TRANSLATED_BACK, wayBackOf } from "../model/way-back.ts";
import type { DatapathName, ObservedRule } from "./datapath.ts";
import type { Reason } from "./reason.ts";

/** What the assignment needs to know about the host. */
export interface AssignmentFacts {
	/** Names of the interfaces that exist now. */
	readonly interfaces: ReadonlySet<string>;
	/** Why this process cannot use programs; undefined if it can. Called only if a rule could go into one. */
	readonly ebpfMissing: () => Promise<Missing | undefined>;
	/** Why the program of a rule's interface cannot express the rule (rewrite/ebpf decides); undefined if it can. */
	readonly ebpfLacks: (rule: Rule) => string | undefined;
	/** Why the rules of one interface do not fit into one program although each of them would; undefined if they do. */
	readonly programLacks: (rules: readonly Rule[]) => Promise<string | undefined>;
}

export interface AssignedRule {
	readonly entry: RuleEntry;
	readonly datapath: DatapathName;
	/** Why the rule does not run on the other datapath. */
	readonly reason: Reason;
}

export interface Assignment {
	readonly rules: readonly AssignedRule[];
	/** Interface → its rules, in the order in which they run (raw before mangle). */
	readonly ebpf: ReadonlyMap<string, readonly RuleEntry[]>;
	readonly nft: Ruleset;
	/** The first rule that cannot run on the datapath the configuration demands. */
	readonly refused?: AssignedRule;
}

/**
 * Assigns every rule: `auto` prefers eBPF if it is exact, the other choices are binding. Rules that cannot run where
 * they must are `refused`.
 */
export async function assignDatapaths(
	ruleset: Ruleset,
	facts: AssignmentFacts,
	preference: DatapathChoice,
): Promise<Assignment> {
	const assignment = await assignOnce(ruleset, facts, preference);
	const refused =
		preference === "ebpf" ? assignment.rules.find(({ datapath }) => datapath === "nft") : undefined;
	return refused === undefined ? assignment : { ...assignment, refused };
}

/**
 * Assigns rules to where they ran when observed; to nft if that was a program of an interface that no longer exists.
 */
export function assignAsObserved(
	{ entries }: Ruleset,
	observed: readonly ObservedRule[],
	{ interfaces }: Pick<AssignmentFacts, "interfaces">,
): Assignment {
	const before = new Map(observed.map((one) => [placeOf(one), one.datapath]));
	return assignmentOf(
		entries.map((entry): AssignedRule => {
			const { name } = entry.rule.header.inInterface ?? {};
			const onEbpf = before.get(placeOf(entry)) === "ebpf" && name !== undefined && interfaces.has(name);
			return { entry, datapath: onEbpf ? "ebpf" : "nft", reason: { kind: "as-before" } };
		}),
	);
}

async function assignOnce(
	ruleset: Ruleset,
	facts: AssignmentFacts,
	preference: DatapathChoice,
): Promise<Assignment> {
	const couldGo = ({ rule }: RuleEntry) => interfaceObstacle(rule, facts) === undefined;
	const missing =
		preference !== "nft" && ruleset.entries.some(couldGo) ? await facts.ebpfMissing() : undefined;
	const assignment = assignEach(ruleset, { ...facts, missing }, preference);
	const lacks = new Map<string, string>();
	for (const [name, entries] of assignment.ebpf) {
		const why = await facts.programLacks(entries.map(({ rule }) => rule));
		if (why !== undefined) lacks.set(name, why);
	}
	if (lacks.size === 0) return assignment;
	const ebpfLacks = (rule: Rule) => lacks.get(rule.header.inInterface?.name ?? "") ?? facts.ebpfLacks(rule);
	return assignEach(ruleset, { ...facts, missing, ebpfLacks }, preference);
}

/** The facts, with the answer of {@link AssignmentFacts.ebpfMissing} if it was needed. */
interface KnownFacts extends Omit<AssignmentFacts, "ebpfMissing"> {
	readonly missing: Missing | undefined;
}

function assignEach(ruleset: Ruleset, facts: KnownFacts, preference: DatapathChoice): Assignment {
	const rules: AssignedRule[] = [];
	for (const family of ["ipv4", "ipv6"] as const) {
		const ofFamily = ruleset.entries.filter(({ rule }) => rule.family === family);
		const early = [...chainOf(ofFamily, "raw"), ...chainOf(ofFamily, "mangle")];
		const late = ofFamily.filter(({ rule }) => rule.chain !== "PREROUTING");
		const kept: Rule[] = [];
		for (const entry of early) {
			const obstacle: Reason | undefined =
				preference === "nft"
					? { kind: "asked-for-nft" }
					: (ebpfObstacle(entry.rule, facts) ?? orderObstacle(entry.rule, kept));
			const name = entry.rule.header.inInterface?.name;
			if (obstacle !== undefined || name === undefined) {
				kept.push(entry.rule);
				rules.push({ entry, datapath: "nft", reason: obstacle ?? { kind: "every-interface" } });
			} else {
				rules.push({ entry, datapath: "ebpf", reason: { kind: "known-interface", interface: name } });
			}
		}
		for (const entry of late) {
			const { chain } = entry.rule;
			const reason: Reason =
				preference === "nft" ? { kind: "asked-for-nft" } : { kind: "later-chain", chain };
			rules.push({ entry, datapath: "nft", reason });
		}
	}
	return assignmentOf(rules);
}

function assignmentOf(rules: readonly AssignedRule[]): Assignment {
	const ebpf = new Map<string, RuleEntry[]>();
	const nft: RuleEntry[] = [];
	for (const { entry, datapath } of rules) {
		const { name } = entry.rule.header.inInterface ?? {};
		if (datapath !== "ebpf" || name === undefined) nft.push(entry);
		else {
			const same = ebpf.get(name);
			if (same === undefined) ebpf.set(name, [entry]);
			else same.push(entry);
		}
	}
	return { rules, ebpf, nft: { entries: nft } };
}

function chainOf(entries: readonly RuleEntry[], table: Rule["table"]): RuleEntry[] {
	return entries
		.filter(({ rule }) => rule.table === table && rule.chain === "PREROUTING")
		.sort((a, b) => a.ordinal - b.ordinal);
}

/** Why this rule, taken alone, cannot run at the ingress of one interface; undefined if it can. */
function ebpfObstacle(rule: Rule, facts: KnownFacts): Reason | undefined {
	const { missing } = facts;
	const obstacle = interfaceObstacle(rule, facts);
	if (obstacle !== undefined) return obstacle;
	if (missing !== undefined) return { kind: "not-allowed", missing };
	// A service accepts the addresses that the host had at the last reload, whichever process makes the next change.
	if (signatureOf(rule) === undefined && rule.matches.some(({ kind }) => kind === "addrtype")) {
		return { kind: "live-routes" };
	}
	const way = wayBackOf(rule);
	if (way !== undefined && !TRANSLATED_BACK.has(way.protocol)) return { kind: "answers" };
	const lacks = facts.ebpfLacks(rule);
	return lacks === undefined ? undefined : { kind: "not-in-a-program", lacks };
}

/** Why this rule is not one of an interface that exists; undefined if it is. */
function interfaceObstacle(
	{ chain, header: { inInterface } }: Rule,
	{ interfaces }: Pick<AssignmentFacts, "interfaces">,
): Reason | undefined {
	if (chain !== "PREROUTING") return { kind: "later-chain", chain };
	if (inInterface === undefined) return { kind: "every-interface" };
	if (inInterface.negated) return { kind: "every-other-interface" };
	if (inInterface.wildcard) return { kind: "interfaces-to-come", interface: inInterface.name };
	return interfaces.has(inInterface.name) ? undefined : { kind: "no-interface", interface: inInterface.name };
}

/** Why this rule cannot run before `kept`, the rules in front of it that stay on nft. */
function orderObstacle(rule: Rule, kept: readonly Rule[]): Reason | undefined {
	return kept.some((other) => !neverMeet(other, rule)) ? { kind: "order" } : undefined;
}

/**
 * True if no packet can match both, whatever either rewrites: they differ by interface, or by DSCP and neither clears
 * it.
 */
export function neverMeet(a: Rule, b: Rule): boolean {
	const inA = a.header.inInterface;
	const inB = b.header.inInterface;
	if (inA !== undefined && inB !== undefined && exact(inA) && exact(inB) && inA.name !== inB.name)
		return true;
	if (a.target.clearDscp || b.target.clearDscp) return false;
	const codesA = a.matches.filter(isPlainDscp);
	const codesB = b.matches.filter(isPlainDscp);
	return codesA.some((one) => codesB.some((other) => one.dscp !== other.dscp));
}

function exact(match: { readonly negated: boolean; readonly wildcard: boolean }): boolean {
	return !match.negated && !match.wildcard;
}

function isPlainDscp(match: Match): match is Extract<Match, { kind: "dscp" }> {
	return match.kind === "dscp" && !match.negated;
}
