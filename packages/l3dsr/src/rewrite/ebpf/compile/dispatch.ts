/**
 * Decides by a packet's DSCP which rules can match it: the plan that the compiler turns into code. Pure.
 *
 * Most DSCPs have one plain rule (this code, that VIP). These share one piece of code and a table indexed by DSCP.
 * Each other DSCP gets straight-line code for exactly the rules that can match it; DSCPs with the same rules share
 * it.
 */
import { DSCP_COUNT, dscp as toDscp, tosOfDscp } from "@l3dsr/packet";
import type { Rule } from "../../../model/rule.ts";
import type { SlottedRule } from "./interface-rules.ts";

/** A rule in the straight-line code of one group. */
export interface ListedRule {
	readonly rule: SlottedRule;
	/** The code must compare the DSCP itself: it may have been cleared, or the group is for any DSCP. */
	readonly checkDscp: boolean;
}

export interface DispatchGroup {
	/** Ascending. */
	readonly dscps: readonly number[];
	readonly rules: readonly ListedRule[];
}

export interface Dispatch {
	/** DSCP → its only rule, which has no other match and only rewrites the address. */
	readonly plain: ReadonlyMap<number, SlottedRule>;
	/** The same with `addrtype --dst-type LOCAL`, as services have it. */
	readonly plainLocal: ReadonlyMap<number, SlottedRule>;
	readonly groups: readonly DispatchGroup[];
}

/** With more rule bodies than this, one group for all DSCPs is better than one for each kind of DSCP. */
const MOST_BODIES = 256;

/** `rules`: of one family, in the order in which they run. */
export function planDispatch(rules: readonly SlottedRule[]): Dispatch {
	const plain = new Map<number, SlottedRule>();
	const plainLocal = new Map<number, SlottedRule>();
	const byRules = new Map<string, { dscps: number[]; rules: readonly ListedRule[] }>();
	const accepting = rules.map((rule): AcceptingRule => ({ rule, dscps: acceptedDscps(rule.rule) }));
	for (let code = 0; code < DSCP_COUNT; code++) {
		const listed = rulesFor(accepting, code);
		const [first] = listed;
		if (first === undefined) continue;
		const kind = listed.length === 1 ? plainKind(first.rule.rule) : undefined;
		if (kind !== undefined) {
			(kind === "plain" ? plain : plainLocal).set(code, first.rule);
			continue;
		}
		const key = listed.map(({ rule, checkDscp }) => `${rule.slot}${checkDscp ? "?" : ""}`).join(" ");
		const group = byRules.get(key);
		if (group === undefined) byRules.set(key, { dscps: [code], rules: listed });
		else group.dscps.push(code);
	}
	const groups = [...byRules.values()];
	return { plain, plainLocal, groups: bodiesIn(groups) > MOST_BODIES ? [oneGroup(rules, groups)] : groups };
}

/** How often code for a rule is emitted: once in each group that contains it. */
export function bodiesIn(groups: readonly DispatchGroup[]): number {
	return groups.reduce((sum, group) => sum + group.rules.length, 0);
}

/** The DSCPs whose rule is in the table. */
export function tableDscps({ plain, plainLocal }: Dispatch): number[] {
	return [...plain.keys(), ...plainLocal.keys()];
}

/** The DSCPs for which any rule exists, ascending. */
export function dscpsOf(dispatch: Dispatch): number[] {
	const inGroups = dispatch.groups.flatMap(({ dscps }) => dscps);
	return [...tableDscps(dispatch), ...inGroups].sort((a, b) => a - b);
}

interface AcceptingRule {
	readonly rule: SlottedRule;
	/** The DSCPs of packets that its TOS matches accept. */
	readonly dscps: ReadonlySet<number>;
}

/** The rules that can match a packet received with this DSCP, in order. */
function rulesFor(rules: readonly AcceptingRule[], code: number): ListedRule[] {
	const listed: ListedRule[] = [];
	let cleared = false;
	for (const { rule, dscps } of rules) {
		if (dscps.has(code)) listed.push({ rule, checkDscp: cleared });
		else if (cleared && dscps.has(0)) listed.push({ rule, checkDscp: true });
		else continue;
		cleared ||= rule.rule.target.clearDscp;
	}
	return listed;
}

function oneGroup(rules: readonly SlottedRule[], groups: readonly DispatchGroup[]): DispatchGroup {
	const dscps = groups.flatMap((group) => group.dscps).sort((a, b) => a - b);
	return { dscps, rules: rules.map((rule) => ({ rule, checkDscp: true })) };
}

const EVERY_DSCP: readonly number[] = Array.from({ length: DSCP_COUNT }, (_, code) => code);

/** Most rules name one DSCP, so the others need no test. */
function acceptedDscps(rule: Rule): ReadonlySet<number> {
	const [asked] = rule.matches.flatMap((match) =>
		match.kind === "dscp" && !match.negated ? [match.dscp] : [],
	);
	const candidates = asked === undefined ? EVERY_DSCP : [asked];
	return new Set(candidates.filter((code) => acceptsDscp(rule, code)));
}

/** True if a packet with this DSCP and any ECN bits can meet the rule's matches on the TOS byte. */
function acceptsDscp(rule: Rule, code: number): boolean {
	const tos = tosOfDscp(toDscp(code));
	return [0, 1, 2, 3].some((ecn) =>
		rule.matches.every((match) => {
			if (match.kind === "dscp") return (match.dscp === code) !== match.negated;
			if (match.kind === "tos") return (((tos | ecn) & match.mask) === match.value) !== match.negated;
			if (match.kind === "ecn") return (ecn === match.ect) !== match.negated;
			return true;
		}),
	);
}

/** A plain rule matches a DSCP and perhaps a destination of this host, and only sets the address. */
function plainKind({ header, matches, target }: Rule): "plain" | "plainLocal" | undefined {
	if (target.dport !== undefined || target.clearDscp) return undefined;
	if (Object.entries(header).some(([field, value]) => field !== "inInterface" && value !== undefined)) {
		return undefined;
	}
	const asked = matches.filter(({ kind }) => kind !== "comment");
	if (asked.some((match) => !("negated" in match) || match.negated)) return undefined;
	const kinds = asked.map(({ kind }) => kind).sort();
	if (kinds.join(" ") === "dscp") return "plain";
	return kinds.join(" ") === "addrtype dscp" ? "plainLocal" : undefined;
}
