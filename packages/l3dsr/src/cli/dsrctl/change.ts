/** Makes the host what start and stop ask for: observe, plan, apply, verify; undone when something fails. */

import { asL3dsrError, L3dsrError } from "../../errors.ts";
import { ZERO_COUNTERS } from "../../model/rule.ts";
import type { Service } from "../../model/service.ts";
import { type LoopbackStep, planLoopback } from "../../plan/loopback.ts";
import {
	asBefore,
	type DesiredHost,
	planRules,
	type RuleStep,
	type ServiceHost,
	type StartOptions,
	withoutDiscovered,
	withoutServices,
	withServices,
} from "../../plan/service-host.ts";
import type { HostDatapath, HostSnapshot } from "../../rewrite/host-datapath.ts";
import { describeLoopbackStep, describeRule } from "../services/describe-step.ts";
import type { DsrctlHost } from "./host.ts";

export interface Observed extends ServiceHost {
	readonly observation: HostSnapshot;
}

/** Reads rules and addresses. */
export async function observeHost(host: DsrctlHost, datapath: HostDatapath): Promise<Observed> {
	const [addresses, observation] = await Promise.all([host.loopbackAddresses(), datapath.observe()]);
	return { rules: observation.rules, addresses, observation };
}

/** From what is observed to what should be; planning it again on the result must find nothing to do. */
export type Goal = (observed: ServiceHost) => DesiredHost;

export function startGoal(services: readonly Service[], options: StartOptions): Goal {
	return (observed) => withServices(observed, services, options);
}

export function stopGoal(services: readonly Service[], discovered: boolean): Goal {
	return discovered ? withoutDiscovered : (observed) => withoutServices(observed, services);
}

interface StepOptions {
	/** Of new rules: said of each step. */
	readonly insert: boolean;
	/** Told what was found, before anything is changed. */
	readonly onFound: (found: ServiceHost) => void;
	/** Told each step before it is made. */
	readonly onStep: (command: string) => void;
}

export interface ChangeOptions extends StepOptions {
	readonly dryRun: boolean;
	/** Runs the part that a signal must not cut off between two steps. */
	readonly whole: (work: () => Promise<void>) => Promise<void>;
}

/**
 * Reaches the goals one after the other, under the lock. Throws L3dsrError when one cannot be reached: then
 * the host is as it was found, or the error's notes say that it is not.
 */
export async function changeHost(
	host: DsrctlHost,
	datapath: HostDatapath,
	goals: readonly Goal[],
	options: ChangeOptions,
): Promise<void> {
	if (options.dryRun) {
		await rehearse(host, datapath, goals, options);
		return;
	}
	using _lock = await host.lock();
	await options.whole(() => reach(host, datapath, goals, options));
}

async function reach(
	host: DsrctlHost,
	datapath: HostDatapath,
	goals: readonly Goal[],
	options: ChangeOptions,
): Promise<void> {
	const found = await observeHost(host, datapath);
	options.onFound(found);
	let observed = found;
	for (const goal of goals) {
		const desired = goal(observed);
		if (!isChange(observed, desired) && !isDamaged(observed)) continue;
		try {
			await transition(host, observed, desired, options);
			observed = await observeHost(host, datapath);
			verify(observed, goal(observed));
		} catch (error) {
			throw await undo(host, datapath, found, error);
		}
	}
}

/** Says the steps only. A second goal sets out from where the first would have arrived. */
async function rehearse(
	host: DsrctlHost,
	datapath: HostDatapath,
	goals: readonly Goal[],
	options: ChangeOptions,
): Promise<void> {
	let supposed: ServiceHost = await observeHost(host, datapath);
	options.onFound(supposed);
	for (const goal of goals) {
		const desired = goal(supposed);
		const { before, after } = planLoopback(supposed.addresses, desired.addresses);
		announce(before, planRules(supposed.rules, desired.ruleset), after, options);
		supposed = {
			addresses: desired.addresses,
			rules: desired.ruleset.entries.map(({ rule, ordinal, counters }) => ({
				rule,
				ordinal,
				counters: counters ?? ZERO_COUNTERS,
			})),
		};
	}
}

/** A VIP is there before the first packet is rewritten to it, and until after the last. */
async function transition(
	host: DsrctlHost,
	observed: Observed,
	desired: DesiredHost,
	options: StepOptions,
): Promise<void> {
	const { before, after } = planLoopback(observed.addresses, desired.addresses);
	const rules = planRules(observed.rules, desired.ruleset);
	announce(before, rules, after, options);
	await host.changeLoopback(before);
	if (rules.length > 0 || isDamaged(observed)) {
		await observed.observation.change(observed.observation.assign(desired.ruleset));
	}
	await host.changeLoopback(after);
}

function isChange(observed: ServiceHost, desired: DesiredHost): boolean {
	const { before, after } = planLoopback(observed.addresses, desired.addresses);
	return before.length + after.length + planRules(observed.rules, desired.ruleset).length > 0;
}

/** Then a change of the rules, even to what they are, mends them. */
function isDamaged({ observation }: Observed): boolean {
	return observation.findings.length > 0;
}

function verify(observed: ServiceHost, desired: DesiredHost): void {
	if (!isChange(observed, desired)) return;
	const { before, after } = planLoopback(observed.addresses, desired.addresses);
	const left = [...before, ...after].map(describeLoopback);
	left.push(...planRules(observed.rules, desired.ruleset).map((step) => describeRuleStep(step, false)));
	throw new L3dsrError({
		code: "DATAPATH_VERIFY",
		message: `change this host's services: the kernel took every step, and this is still to do: ${left.join("; ")}`,
		hint: "does something else change rules or addresses of lo at the same time?",
	});
}

/** Puts back what was found. Returns what to throw: the error, with a note on how that went. */
async function undo(
	host: DsrctlHost,
	datapath: HostDatapath,
	found: ServiceHost,
	error: unknown,
): Promise<unknown> {
	let note = "what had been done was undone";
	try {
		const now = await observeHost(host, datapath);
		const desired = asBefore(found, now);
		await transition(host, now, desired, { insert: false, onFound: () => {}, onStep: () => {} });
	} catch (failure) {
		note = `undoing what had been done failed too: ${failure instanceof Error ? failure.message : String(failure)}`;
	}
	return asL3dsrError(error).withNotes([note]);
}

function announce(
	before: readonly LoopbackStep[],
	rules: readonly RuleStep[],
	after: readonly LoopbackStep[],
	{ onStep, insert }: StepOptions,
): void {
	for (const step of before) onStep(describeLoopback(step));
	// Typed in this order, `-I` would give the chain that the plan has.
	for (const step of insert ? rules.toReversed() : rules) onStep(describeRuleStep(step, insert));
	for (const step of after) onStep(describeLoopback(step));
}

function describeLoopback({ kind, ...entry }: LoopbackStep): string {
	return describeLoopbackStep(kind, entry);
}

function describeRuleStep({ kind, rule }: RuleStep, insert: boolean): string {
	return describeRule(kind === "remove" ? "-D" : insert ? "-I" : "-A", rule);
}
