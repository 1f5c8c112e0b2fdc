/**
 * Which rules can meet a packet, told by its DSCP: the plan that the compiler turns into code. Pure.
 *
 * Most DSCPs have one plain rule (this code, that VIP): those share one piece of code and a table that is
 * indexed by DSCP. The others get straight-line code for exactly the rules that can match them; DSCPs with
 * the same rules share it.
 */
import { dscp as toDscp, tosOfDscp } from "../../model/dscp.ts";
import type { Rule } from "../../model/rule.ts";
import type { SlottedRule } from "./interface-rules.ts";

export const DSCP_COUNT = 64;

/** A rule in the straight-line code of one group. */
export interface ListedRule {
	readonly rule: SlottedRule;
	/** Whether the code has to compare the DSCP itself: it may have been cleared, or the group is of any DSCP. */
	readonly checkDscp: boolean;
}

export interface DispatchGroup {
	/** Ascending. */
	readonly dscps: readonly number[];
	readonly rules: readonly ListedRule[];
}

export interface Dispatch {
	/** DSCP → its only rule, which asks for nothing else and only rewrites the address. */
	readonly plain: ReadonlyMap<number, SlottedRule>;
	/** Plain rules ask for `addrtype LOCAL` as well, all of them, as those of services do. */
	readonly plainIsLocal: boolean;
	readonly groups: readonly DispatchGroup[];
}

/** Rule bodies beyond which one group for all DSCPs is better than a group for each kind of DSCP. */
const MOST_BODIES = 2048;

/** `rules`: of one family, in the order in which they run. */
export function planDispatch(rules: readonly SlottedRule[]): Dispatch {
	const plain = new Map<number, SlottedRule>();
	const simple = rules.filter(({ rule }) => isPlain(rule));
	const plainIsLocal = simple.length > 0 && simple.every(({ rule }) => asksForLocal(rule));
	const groups = new Map<string, { dscps: number[]; rules: readonly ListedRule[] }>();
	for (let code = 0; code < DSCP_COUNT; code++) {
		const listed = rulesFor(rules, code);
		const [first] = listed;
		if (first === undefined) continue;
		const one = first.rule.rule;
		if (listed.length === 1 && isPlain(one) && asksForLocal(one) === plainIsLocal) {
			plain.set(code, first.rule);
			continue;
		}
		const key = listed.map(({ rule, checkDscp }) => `${rule.slot}${checkDscp ? "?" : ""}`).join(" ");
		const group = groups.get(key);
		if (group === undefined) groups.set(key, { dscps: [code], rules: listed });
		else group.dscps.push(code);
	}
	const bodies = [...groups.values()].reduce((sum, group) => sum + group.rules.length, 0);
	if (bodies > MOST_BODIES) return { plain, plainIsLocal, groups: [oneGroup(rules, [...groups.values()])] };
	return { plain, plainIsLocal, groups: [...groups.values()] };
}

/** The DSCPs for which anything may happen, as the bits of a u64. */
export function dscpMask(dispatch: Dispatch): bigint {
	const codes = [...dispatch.plain.keys(), ...dispatch.groups.flatMap(({ dscps }) => dscps)];
	return codes.reduce((mask, code) => mask | (1n << BigInt(code)), 0n);
}

/** Rules that can match a packet which arrives with this DSCP, in order. */
function rulesFor(rules: readonly SlottedRule[], code: number): ListedRule[] {
	const listed: ListedRule[] = [];
	let cleared = false;
	for (const rule of rules) {
		if (acceptsDscp(rule.rule, code)) listed.push({ rule, checkDscp: cleared });
		else if (cleared && acceptsDscp(rule.rule, 0)) listed.push({ rule, checkDscp: true });
		else continue;
		cleared ||= rule.rule.target.clearDscp;
	}
	return listed;
}

function oneGroup(rules: readonly SlottedRule[], groups: readonly DispatchGroup[]): DispatchGroup {
	const dscps = groups.flatMap((group) => group.dscps).sort((a, b) => a - b);
	return { dscps, rules: rules.map((rule) => ({ rule, checkDscp: true })) };
}

/** Whether a packet with this DSCP, and any ECN bits, can meet the rule's matches on the TOS byte. */
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

/** A DSCP in, which may have to be this host's own packet; an address and nothing else out. */
function isPlain(rule: Rule): boolean {
	const { header, matches, target } = rule;
	const asked = matches.filter(({ kind }) => kind !== "comment" && kind !== "addrtype");
	const [only] = asked;
	return (
		asked.length === 1 &&
		only?.kind === "dscp" &&
		!only.negated &&
		!matches.some((match) => match.kind === "addrtype" && match.negated) &&
		Object.entries(header).every(([field, value]) => field === "inInterface" || value === undefined) &&
		target.dport === undefined &&
		!target.clearDscp
	);
}

function asksForLocal(rule: Rule): boolean {
	return rule.matches.some(({ kind }) => kind === "addrtype");
}
