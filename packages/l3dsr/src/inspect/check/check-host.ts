/** What the checks say of a host and of what a configuration asks of it. */
import { runChecks } from "../../host/checks/all.ts";
import { type CheckFinding, titleOf } from "../../host/checks/check.ts";
import { gatherFacts } from "../../host/facts.ts";
import type { Configuration } from "../../model/configuration.ts";
import { signatureOf } from "../../model/lower-service.ts";
import type { Rule } from "../../model/rule.ts";
import type { ConfiguredHost } from "../../reconcile/configured-host.ts";
import type { Plan } from "../../reconcile/target.ts";
import { refusalOf } from "../../rewrite/reason.ts";

/** `plan` is what up would do. Errors come first. Throws L3dsrError (KERNEL_*). */
export function checkHost(
	configuration: Configuration,
	{ observed, state, desired, assignment }: Plan<ConfiguredHost>,
): CheckFinding[] {
	const rules = state.rules.map(({ rule }) => rule).filter((rule) => signatureOf(rule) !== undefined);
	const { refused } = assignment;
	return runChecks({
		configuration: { ...configuration, services: desired.wish.services },
		...(refused === undefined ? {} : { refused: refusalOf(refused).diagnostics[0] }),
		inNetfilter: new Set(
			assignment.rules.flatMap(({ entry: { rule }, datapath }) =>
				datapath === "nft" && signatureOf(rule) !== undefined ? [rule.family] : [],
			),
		),
		stopped: desired.stopped,
		facts: gatherFacts(observed.interfaces),
		guard: state.guard.guard,
		ruled: new Set(
			rules.flatMap((rule) => {
				const name = signatureOf(rule);
				return name === undefined ? [] : [titleOf({ name, vip: rule.target.daddr })];
			}),
		),
		served: servedInterfaces(rules),
	});
}

/** Undefined when nothing runs yet, or a rule means every interface. */
function servedInterfaces(rules: readonly Rule[]): Set<string> | undefined {
	if (rules.length === 0 || rules.some(({ header }) => header.inInterface?.wildcard !== false))
		return undefined;
	return new Set(rules.flatMap(({ header }) => header.inInterface?.name ?? []));
}
