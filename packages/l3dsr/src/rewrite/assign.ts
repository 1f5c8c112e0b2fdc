/**
 * Which engine runs which rule (`datapath: auto`), and why. Pure.
 *
 * A program at tc ingress or XDP sees a packet before every netfilter hook, so a rule may go there only if
 * running it early changes nothing: either every rule in front of it goes there too, or those that stay
 * with nft can never meet the same packet.
 */
import { signatureOf } from "../model/lower-service.ts";
import type { Match, Rule } from "../model/rule.ts";
import type { RuleEntry, Ruleset } from "../model/ruleset.ts";
import type { DatapathName } from "./datapath.ts";

/** `auto` prefers eBPF where it is exact; the others force. */
export type DatapathPreference = DatapathName | "auto";

/** What the assignment needs to know of the host. */
export interface AssignmentFacts {
	/** Names of the interfaces that exist now. */
	readonly interfaces: ReadonlySet<string>;
	/** Why no program can be loaded or attached here; undefined if it can. */
	readonly ebpfRefused?: string;
	/** Why the program of a rule's interface cannot express it (rewrite/ebpf knows); else undefined. */
	readonly ebpfLacks: (rule: Rule) => string | undefined;
	/** Why the rules of one interface, each of which could, cannot be one program; else undefined. */
	readonly programLacks: (rules: readonly Rule[]) => string | undefined;
}

export interface AssignedRule {
	readonly entry: RuleEntry;
	readonly datapath: DatapathName;
	/** Why not the other engine. */
	readonly reason: string;
}

export interface Assignment {
	readonly rules: readonly AssignedRule[];
	/** Interface → its rules, in the order in which they run (raw before mangle). */
	readonly ebpf: ReadonlyMap<string, readonly RuleEntry[]>;
	readonly nft: Ruleset;
}

/** Assigns every rule. With preference `ebpf`, rules that cannot go there still come back as `nft`, with the reason. */
export function assignDatapaths(
	ruleset: Ruleset,
	facts: AssignmentFacts,
	preference: DatapathPreference,
): Assignment {
	const assignment = assignEach(ruleset, facts, preference);
	const lacks = new Map<string, string>();
	for (const [name, entries] of assignment.ebpf) {
		const why = facts.programLacks(entries.map(({ rule }) => rule));
		if (why !== undefined) lacks.set(name, why);
	}
	if (lacks.size === 0) return assignment;
	const ebpfLacks = (rule: Rule) => lacks.get(rule.header.inInterface?.name ?? "") ?? facts.ebpfLacks(rule);
	return assignEach(ruleset, { ...facts, ebpfLacks }, preference);
}

function assignEach(ruleset: Ruleset, facts: AssignmentFacts, preference: DatapathPreference): Assignment {
	const rules: AssignedRule[] = [];
	const ebpf = new Map<string, RuleEntry[]>();
	for (const family of ["ipv4", "ipv6"] as const) {
		const ofFamily = ruleset.entries.filter(({ rule }) => rule.family === family);
		const early = [...chainOf(ofFamily, "raw"), ...chainOf(ofFamily, "mangle")];
		const late = ofFamily.filter(({ rule }) => rule.chain !== "PREROUTING");
		const kept: Rule[] = [];
		for (const entry of early) {
			const obstacle =
				preference === "nft"
					? "the configuration asks for nft"
					: (ebpfObstacle(entry.rule, facts) ?? orderObstacle(entry.rule, kept));
			const name = entry.rule.header.inInterface?.name;
			if (obstacle !== undefined || name === undefined) {
				kept.push(entry.rule);
				rules.push({ entry, datapath: "nft", reason: obstacle ?? "it has no -i" });
				continue;
			}
			ebpf.set(name, [...(ebpf.get(name) ?? []), entry]);
			rules.push({ entry, datapath: "ebpf", reason: `its interface ${name} is known` });
		}
		for (const entry of late) {
			const reason = preference === "nft" ? "the configuration asks for nft" : hookReason(entry.rule);
			rules.push({ entry, datapath: "nft", reason });
		}
	}
	const nft = rules.filter(({ datapath }) => datapath === "nft").map(({ entry }) => entry);
	return { rules, ebpf, nft: { entries: nft } };
}

function chainOf(entries: readonly RuleEntry[], table: Rule["table"]): RuleEntry[] {
	return entries
		.filter(({ rule }) => rule.table === table && rule.chain === "PREROUTING")
		.sort((a, b) => a.ordinal - b.ordinal);
}

function hookReason(rule: Rule): string {
	return `chain ${rule.chain} is a netfilter hook behind tc ingress`;
}

/** Why this rule, taken alone, cannot run at the ingress of one interface; undefined if it can. */
function ebpfObstacle(rule: Rule, facts: AssignmentFacts): string | undefined {
	const { inInterface } = rule.header;
	if (rule.chain !== "PREROUTING") return hookReason(rule);
	if (inInterface === undefined) return "without -i it means every interface, now and later";
	if (inInterface.negated) return "-i with ! means every other interface, now and later";
	if (inInterface.wildcard) return `-i ${inInterface.name}+ means interfaces yet to come too`;
	if (!facts.interfaces.has(inInterface.name)) return `there is no interface ${inInterface.name} now`;
	if (facts.ebpfRefused !== undefined) return facts.ebpfRefused;
	// Services accept the addresses of the time of their last reload, whoever makes the next change.
	if (signatureOf(rule) === undefined && rule.matches.some(({ kind }) => kind === "addrtype")) {
		return "-m addrtype asks the routing table anew for each packet";
	}
	return facts.ebpfLacks(rule);
}

/** Why this rule cannot run ahead of `kept`, which stand in front of it and stay with nft. */
function orderObstacle(rule: Rule, kept: readonly Rule[]): string | undefined {
	const earlier = kept.find((other) => !neverMeet(other, rule));
	return earlier === undefined
		? undefined
		: "a rule in front of it stays with nft and could match the same packet";
}

/**
 * True if no packet can match both, whatever either rewrites: they differ by interface, or by DSCP as long
 * as neither clears it.
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
