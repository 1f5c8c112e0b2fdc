/** The order in which the datapaths change, from the rules that both hold to those that they should hold. Pure. */
import { type Rule, sameRule, sameValue } from "../model/rule.ts";
import { placeOf, type RuleEntry, type Ruleset } from "../model/ruleset.ts";
import { wayBackOf } from "../model/way-back.ts";
import type { Assignment } from "./assign.ts";
import type { DatapathName, ObservedRule } from "./datapath.ts";

/** Makes one datapath hold exactly these rules. */
export type ApplyStep = EbpfStep | NftStep;

interface EbpfStep extends Ruleset {
	readonly datapath: "ebpf";
}

interface NftStep extends Ruleset {
	readonly datapath: "nft";
	/** Rules of programs whose answers nf_tables translates back. */
	readonly answered: readonly Rule[];
}

/** The rules that run as programs and whose answers must be translated back. */
export function answeredOf(
	rules: readonly { readonly rule: Rule; readonly datapath: DatapathName }[],
): Rule[] {
	return rules.flatMap(({ rule, datapath }) =>
		datapath === "ebpf" && wayBackOf(rule) !== undefined ? [rule] : [],
	);
}

/**
 * A rule that moves between the datapaths, or whose successor is on the other one, is in both for a moment, never in
 * neither. Rewriting twice to the same address is the same as rewriting once, and if the old and the new rule
 * disagree, the packet ends up as one of them says. Answers of a program's rule are translated from before the rule
 * is added until after it is gone.
 */
export function stepsBetween(assigned: Assignment["rules"], observed: readonly ObservedRule[]): ApplyStep[] {
	const held = (name: DatapathName) => observed.filter(({ datapath }) => datapath === name);
	const current = { nft: byPlace(held("nft")), ebpf: byPlace(held("ebpf")) };
	const wanted = (name: DatapathName) =>
		assigned
			.filter(({ datapath }) => datapath === name)
			.map(({ entry }) => withMovedCounters(entry, current[name === "nft" ? "ebpf" : "nft"]));
	const [nft, ebpf] = [wanted("nft"), wanted("ebpf")];
	const before = answeredOf(observed);
	const after = answeredOf(assigned.map(({ entry: { rule }, datapath }) => ({ rule, datapath })));
	const both = [...after, ...before.filter((rule) => !after.some((one) => sameRule(one, rule)))];
	const toEbpf: ApplyStep = { datapath: "ebpf", entries: ebpf };
	const toNft: ApplyStep = { datapath: "nft", entries: nft, answered: after };
	/** Before the programs change: with the answers of both the old and the new rules. */
	const toNftFirst = (entries: readonly RuleEntry[]): ApplyStep => ({
		datapath: "nft",
		entries,
		answered: both,
	});
	const [fromNft, fromEbpf] = [without(held("nft"), nft), without(held("ebpf"), ebpf)];
	const answersCome = !sameValue(both, before);
	const answersGo = !sameValue(both, after);
	// A rule that goes here may have its successor there, so the datapath that gains rules changes first.
	if (fromEbpf.length === 0 || without(nft, held("nft")).length === 0) {
		const first = answersCome ? [toNftFirst(held("nft").map(uncounted))] : [];
		return [...first, toEbpf, toNft];
	}
	if (fromNft.length === 0 || without(ebpf, held("ebpf")).length === 0) {
		return [toNftFirst(nft), toEbpf, ...(answersGo ? [toNft] : [])];
	}
	// Rules move both ways: nft holds the old and the new ones until the programs have changed.
	const places = new Set(nft.map(placeOf));
	const leaving = fromNft.filter((one) => !places.has(placeOf(one))).map(uncounted);
	return [toNftFirst([...nft, ...leaving]), toEbpf, toNft];
}

/** Without new counters, so that the existing ones go on. */
function uncounted({ rule, ordinal }: RuleEntry): RuleEntry {
	return { rule, ordinal };
}

/** The `entries` that `others` does not have at the same place. */
function without<E extends RuleEntry>(entries: readonly E[], others: readonly RuleEntry[]): E[] {
	const known = new Map(others.map((one) => [placeOf(one), one.rule]));
	return entries.filter((one) => {
		const rule = known.get(placeOf(one));
		return rule === undefined || !sameRule(rule, one.rule);
	});
}

/** A rule that moves to the other datapath keeps its counters, unless others are asked for. */
function withMovedCounters(entry: RuleEntry, elsewhere: ReadonlyMap<string, ObservedRule>): RuleEntry {
	if (entry.counters !== undefined) return entry;
	const moved = elsewhere.get(placeOf(entry));
	return moved === undefined || !sameRule(moved.rule, entry.rule)
		? entry
		: { ...entry, counters: moved.counters };
}

function byPlace(rules: readonly ObservedRule[]): ReadonlyMap<string, ObservedRule> {
	return new Map(rules.map((one) => [placeOf(one), one]));
}
