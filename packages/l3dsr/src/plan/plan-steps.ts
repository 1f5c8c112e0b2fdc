/** The steps from the observed host to the desired one, and back again. Pure. */
import type { Address } from "@l3dsr/packet";
import { type Counters, type Rule, sameRule, sameValue } from "../model/rule.ts";
import { RuleBag } from "../model/rule-bag.ts";
import { placeOf, type RuleEntry, type Ruleset } from "../model/ruleset.ts";
import { guardFor, type VipGuard } from "../model/vip-guard.ts";
import type { DesiredHost, HostState, RulesStep, Step } from "./host-state.ts";
import { type LoopbackPlan, planLoopback } from "./loopback.ts";

const NO_LOOPBACK_STEPS: LoopbackPlan = { before: [], after: [] };

/** No steps if the host is already as desired. */
export function planSteps(observed: HostState, desired: DesiredHost): Step[] {
	const { before, after } =
		desired.addresses === undefined ? NO_LOOPBACK_STEPS : planLoopback(observed.addresses, desired.addresses);
	const steps: Step[] = [...before];
	const rules = rulesStep(observed, desired.ruleset);
	if (rules !== undefined) steps.push(rules);
	steps.push(...after);
	return desired.guard === undefined ? steps : withGuard(steps, observed, desired.guard);
}

/** VIPs to be removed are guarded until they are gone. */
function withGuard(
	steps: readonly Step[],
	observed: HostState,
	wanted: NonNullable<DesiredHost["guard"]>,
): Step[] {
	const desired = wanted === "none" ? undefined : wanted;
	const removed = new Set(
		steps.flatMap((step) => (step.kind === "remove-address" ? [step.entry.address.text] : [])),
	);
	const leaving = observed.guard.held.filter(({ text }) => removed.has(text));
	const now = observed.guard.altered ? null : observed.guard.guard;
	const during = leaving.length === 0 ? desired : withLeaving(desired, leaving, observed);
	return [
		...(now === null || !sameValue(now, during) ? [{ kind: "guard", guard: during } as const] : []),
		...steps,
		...(sameValue(during, desired) ? [] : [{ kind: "guard", guard: desired } as const]),
	];
}

/** Keeps existing senders, so that only elements change. */
function withLeaving(
	desired: VipGuard | undefined,
	leaving: readonly Address[],
	{ guard, links }: HostState,
): VipGuard | undefined {
	const texts = new Set(leaving.map(({ text }) => text));
	const found = guard.found.filter(({ text }) => texts.has(text));
	const all = guardFor([...(desired?.held ?? []), ...leaving], links, [...(desired?.found ?? []), ...found]);
	const staying = [desired?.senders, guard.guard?.senders].find((one) => one !== undefined && one.length > 0);
	return all === undefined || staying === undefined ? all : { ...all, senders: staying };
}

/** Undefined if the same rules are in the same places, intact, and with the wanted counters. */
function rulesStep(observed: HostState, ruleset: Ruleset): RulesStep | undefined {
	const current = new Map(observed.rules.map((one) => [placeOf(one), one]));
	let counted = false;
	const added: Rule[] = [];
	for (const entry of ruleset.entries) {
		const old = current.get(placeOf(entry));
		if (old === undefined || !sameRule(old.rule, entry.rule)) {
			added.push(entry.rule);
			continue;
		}
		current.delete(placeOf(entry));
		counted ||= entry.counters !== undefined && !sameCounters(entry.counters, old.counters);
	}
	const removed = [...current.values()].map(({ rule }) => rule);
	const same = added.length === 0 && removed.length === 0 && !counted;
	if (same && observed.findings.length === 0) return undefined;
	// A rule that only moves is neither removed nor added.
	const [gone, come] = [without(removed, added), without(added, removed)];
	return { kind: "rules", ruleset, added: come, removed: gone, repaired: observed.findings };
}

/** The `rules` without an equal in `others`, counted one by one. */
function without(rules: readonly Rule[], others: readonly Rule[]): Rule[] {
	if (others.length === 0) return [...rules];
	const left = new RuleBag(others);
	return rules.filter((rule) => !left.take(rule));
}

/**
 * The state to return to when a plan is undone: the host as it was, in everything that `desired` covers, whatever has
 * happened since. Rules that are restored keep their counts.
 */
export function asBefore(before: HostState, now: HostState, desired: DesiredHost): DesiredHost {
	const current = new Map(now.rules.map((one) => [placeOf(one), one.rule]));
	const entries = before.rules.map((one): RuleEntry => {
		const { rule, ordinal, counters } = one;
		const same = current.get(placeOf(one));
		return same !== undefined && sameRule(same, rule) ? { rule, ordinal } : { rule, ordinal, counters };
	});
	return {
		ruleset: { entries },
		...(desired.addresses === undefined ? {} : { addresses: before.addresses }),
		// A guard that somebody altered cannot be restored.
		...(desired.guard === undefined || before.guard.altered ? {} : { guard: before.guard.guard ?? "none" }),
	};
}

function sameCounters(a: Counters, b: Counters): boolean {
	return a.packets === b.packets && a.bytes === b.bytes;
}
