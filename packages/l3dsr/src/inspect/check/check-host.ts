/** The results of the checks for a host and its configuration. */
import { runChecks } from "../../host/checks/all.ts";
import { bySeverity, type CheckFinding, type CheckInput, titleOf } from "../../host/checks/check.ts";
import { type CheckQuestion, questionsOf } from "../../host/checks/questions.ts";
import { gatherFacts } from "../../host/facts.ts";
import type { Configuration } from "../../model/configuration.ts";
import type { Finding } from "../../model/finding.ts";
import { signatureOf } from "../../model/lower-service.ts";
import type { Rule } from "../../model/rule.ts";
import { driftOf } from "../../plan/drift.ts";
import { type ConfiguredHost, configuredTarget, silencingText } from "../../reconcile/configured-host.ts";
import type { HostEffects } from "../../reconcile/host-effects.ts";
import { planHost } from "../../reconcile/reconcile.ts";
import type { Plan } from "../../reconcile/target.ts";
import { refusalOf } from "../../rewrite/reason.ts";
import type { WantedDirector } from "../../sources/director.ts";

export interface HostCheck {
	/** Errors come first. */
	readonly findings: readonly CheckFinding[];
	/** What this host cannot know. */
	readonly questions: readonly CheckQuestion[];
	/** The differences between the host and its configuration. */
	readonly drift: readonly Finding[];
}

/** Against what `up` would do. Throws L3dsrError (KERNEL_*). */
export async function checkHost(
	host: HostEffects,
	configuration: Configuration,
	director: WantedDirector | undefined,
): Promise<HostCheck> {
	const target = configuredTarget(host, configuration, async () => [], director);
	return await checkPlan(configuration, await planHost(host, await host.openDatapath(configuration), target));
}

/** The same of a host that has been looked at. */
export async function checkPlan(
	configuration: Configuration,
	plan: Plan<ConfiguredHost>,
): Promise<HostCheck> {
	const input = inputOf(configuration, plan);
	const findings = [...runChecks(input), ...(await checkDirectorOf(plan))].sort(bySeverity);
	return { findings, questions: questionsOf(input), drift: input.drift };
}

/** The results of a director's checks; none on a host that should not be a director, which does not load their code. */
async function checkDirectorOf(plan: Plan<ConfiguredHost>): Promise<readonly CheckFinding[]> {
	const { director } = plan.desired;
	if (director === "none") return [];
	const { checkDirector } = await import("./check-director.ts");
	return checkDirector(director, plan);
}

function inputOf(
	configuration: Configuration,
	{ observed, state, desired, assignment, steps }: Plan<ConfiguredHost>,
): CheckInput {
	const rules = state.rules.map(({ rule }) => rule).filter((rule) => signatureOf(rule) !== undefined);
	const { refused } = assignment;
	const { services } = desired.wish;
	const { stopped } = desired;
	const facts = gatherFacts(
		observed.interfaces,
		services.map(({ vip, selection }) =>
			selection?.dscp === undefined ? { vip } : { vip, dscp: selection.dscp },
		),
	);
	const silencing = silencingText(desired);
	return {
		configuration: { ...configuration, services },
		...(refused === undefined ? {} : { refused: refusalOf(refused).diagnostics[0] }),
		inNetfilter: new Set(
			assignment.rules.flatMap(({ entry: { rule }, datapath }) =>
				datapath === "nft" && signatureOf(rule) !== undefined ? [rule.family] : [],
			),
		),
		drift: driftOf(state, { steps, services: configuration.services, stopped }),
		started:
			rules.length > 0 ||
			state.findings.length > 0 ||
			state.guard.altered ||
			state.guard.held.length > 0 ||
			facts.routes.delivered.length > 0,
		...(silencing === undefined ? {} : { silencing }),
		tracked: [
			...new Set(
				observed.snapshot.rules
					.filter(({ rule, datapath }) => datapath === "nft" && rule.table === "mangle")
					.filter(({ rule }) => signatureOf(rule) === undefined)
					.map(({ rule: { table, chain } }) => `${table} ${chain}`),
			),
		],
		stopped,
		facts,
		guard: state.guard.guard,
		ruled: new Set(
			rules.flatMap((rule) => {
				const name = signatureOf(rule);
				return name === undefined ? [] : [titleOf({ name, vip: rule.target.daddr })];
			}),
		),
		served: servedInterfaces(rules),
	};
}

/** Undefined if nothing runs yet, or if a rule applies to every interface. */
function servedInterfaces(rules: readonly Rule[]): Set<string> | undefined {
	if (rules.length === 0 || rules.some(({ header }) => header.inInterface?.wildcard !== false))
		return undefined;
	return new Set(rules.flatMap(({ header }) => header.inInterface?.name ?? []));
}
