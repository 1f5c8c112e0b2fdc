/** Observe, plan, apply, verify; on failure the host is put back as it was found. */

import { type Address, addressBits, sameAddress } from "@l3dsr/packet";
import { asL3dsrError, L3dsrError } from "../../errors.ts";
import type { AddressChange } from "../../host/addresses.ts";
import { type Finding, sameFinding } from "../../model/finding.ts";
import { signatureOf } from "../../model/lower-service.ts";
import { sameRule } from "../../model/rule.ts";
import type { RuleEntry, Ruleset } from "../../model/ruleset.ts";
import type { Service } from "../../model/service.ts";
import { type DesiredHost, desiredHost, planHost, type Step, type Wish } from "../../plan/host-plan.ts";
import type { LoopbackAddress } from "../../plan/loopback.ts";
import { partServices, type StoppedService } from "../../plan/startable.ts";
import type { Assignment } from "../../rewrite/assign.ts";
import type { HostAssignment, HostDatapath, HostSnapshot } from "../../rewrite/host-datapath.ts";

import { describeStep } from "./describe-step.ts";
import type { ServiceHost } from "./host.ts";
import { type ObservedHost, observeHost, type ServiceConfiguration, wishOf } from "./observe.ts";

/** What a host should be made into. */
export interface Target {
	readonly configuration: ServiceConfiguration;
	/** Services that dsrctl looks after. */
	elsewhere(): Promise<readonly Service[]>;
}

export interface Plan {
	readonly observed: ObservedHost;
	readonly wish: Wish;
	/** Configured, and not to be had on this host. */
	readonly stopped: readonly StoppedService[];
	readonly desired: DesiredHost;
	readonly assignment: HostAssignment;
	readonly steps: readonly Step[];
}

/** Changes nothing. `assignment.refused` says that the steps cannot be made. */
export async function planChange(host: ServiceHost, datapath: HostDatapath, target: Target): Promise<Plan> {
	const observed = await observeHost(host, datapath);
	const { configuration, elsewhere } = target;
	const { startable, stopped } = partServices(configuration.services, observed);
	const wish = await wishOf(configuration, startable, observed, elsewhere);
	const desired = desiredHost(observed.state, wish);
	const assignment = observed.observation.assign(desired.ruleset);
	const findings = [...observed.state.findings, ...misplaced(assignment, observed)];
	const steps = planHost({ ...observed.state, findings }, desired);
	return { observed, wish, stopped, desired, assignment, steps };
}

/** Own rules that run on one engine and belong on the other: the configuration has changed, or the interfaces have. */
function misplaced({ rules }: Assignment, { observation }: ObservedHost): Finding[] {
	const standing = new Map(observation.rules.map((one) => [placeKey(one), one]));
	return rules.flatMap(({ entry, datapath, reason }) => {
		const name = signatureOf(entry.rule);
		const now = standing.get(placeKey(entry));
		if (name === undefined || now === undefined || now.datapath === datapath) return [];
		if (!sameRule(now.rule, entry.rule)) return [];
		const problem = `runs on ${now.datapath} and belongs on ${datapath}: ${reason}`;
		return [{ kind: "misplaced", object: `a rule of ${name}`, problem, rule: entry.rule }];
	});
}

function placeKey({ rule: { family, table, chain }, ordinal }: RuleEntry): string {
	return `${family} ${table} ${chain} ${ordinal}`;
}

/**
 * Makes the host what the target says; the caller holds the lock. `onStep` hears of each step before it is
 * made. Throws DATAPATH_VERIFY when the host is not so afterwards, and whatever a step failed with; then
 * what was done has been undone, and the error's notes say what that was.
 */
export async function makeChange(
	host: ServiceHost,
	datapath: HostDatapath,
	target: Target,
	onStep: (step: Step) => void,
): Promise<Plan> {
	const plan = await planChange(host, datapath, target);
	if (plan.assignment.refused !== undefined) throw plan.assignment.refused;
	if (plan.steps.length === 0) return plan;
	try {
		await applySteps(host, plan.observed, plan.steps, onStep);
		await verify(host, datapath, target);
	} catch (error) {
		throw await undo(host, datapath, plan.observed, error);
	}
	return plan;
}

/** Of following a host that goes on changing. */
const MOST_ROUNDS = 5;

async function verify(host: ServiceHost, datapath: HostDatapath, target: Target): Promise<void> {
	let left = await planChange(host, datapath, target);
	// Programs know the host's own addresses: our change was one of them, and while a host starts others come too.
	for (let round = 0; round < MOST_ROUNDS && left.steps.length > 0; round++) {
		await applySteps(host, left.observed, left.steps, () => {});
		left = await planChange(host, datapath, target);
	}
	if (left.steps.length === 0) return;
	throw new L3dsrError({
		code: "DATAPATH_VERIFY",
		message: "verify the host after the change: it is not as it should be",
		notes: left.steps.flatMap(describeStep).map((line) => `still to do: ${line}`),
		hint: "something else may be changing this host at the same time; run it again",
	});
}

async function applySteps(
	host: ServiceHost,
	observed: ObservedHost,
	steps: readonly Step[],
	onStep: (step: Step) => void,
): Promise<void> {
	let { guard } = observed;
	let waiting: AddressChange[] = [];
	const flush = async (): Promise<void> => {
		const changes = waiting;
		waiting = [];
		await host.changeLoopback(changes);
	};
	for (const step of steps) {
		const changes = addressChanges(step, observed.state.addresses);
		if (changes.length === 0) await flush();
		onStep(step);
		waiting.push(...changes);
		if (step.kind === "guard") {
			await host.applyGuard(step.guard, guard);
			guard =
				step.guard === undefined
					? { held: [], altered: false }
					: { held: step.guard.held, guard: step.guard, altered: false };
		}
		if (step.kind === "rules") await changeRules(observed.observation, step.ruleset);
	}
	await flush();
}

async function changeRules(snapshot: HostSnapshot, ruleset: Ruleset): Promise<void> {
	await snapshot.change(snapshot.assign(ruleset));
}

function addressChanges(step: Step, present: readonly LoopbackAddress[]): AddressChange[] {
	switch (step.kind) {
		case "add-address":
			return [{ kind: "add", ...step.entry }];
		case "remove-address":
			return [{ kind: "remove", ...step.entry }];
		case "resize":
			return [
				{ kind: "remove", ...step.entry },
				{ kind: "add", ...step.entry, prefixLength: step.prefixLength },
			];
		case "relabel":
			return [
				{
					kind: "relabel",
					...step.entry,
					label: step.label,
					spareLength: spareLength(step.entry.address, present),
				},
			];
		default:
			return [];
	}
}

/** The longest prefix length, but the address's own, at which it is not there. */
function spareLength(address: Address, present: readonly LoopbackAddress[]): number {
	const taken = present.filter((entry) => sameAddress(entry.address, address));
	let length = addressBits(address.family) - 1;
	while (taken.some(({ prefixLength }) => prefixLength === length)) length--;
	return length;
}

/** Back to what was found. Gives what to throw: the failure, with a note on everything that was undone. */
async function undo(
	host: ServiceHost,
	datapath: HostDatapath,
	before: ObservedHost,
	failure: unknown,
): Promise<L3dsrError> {
	const undone: string[] = [];
	const note = (step: Step): void => {
		undone.push(...describeStep(step).map((line) => `undone: ${line}`));
	};
	try {
		const now = await observeHost(host, datapath);
		// What was not as it should be before has to be mended, but not by taking back a change that failed at it.
		const findings = now.state.findings.filter(
			(one) => !before.state.findings.some((other) => sameFinding(one, other)),
		);
		const steps = planHost(
			{ ...now.state, findings },
			{
				ruleset: { entries: before.state.rules.map(({ rule, ordinal }) => ({ rule, ordinal })) },
				addresses: before.state.addresses,
				guard: before.guard.guard,
			},
		);
		await applySteps(host, now, steps, note);
		if (undone.length === 0) undone.push("nothing had been changed");
	} catch (error) {
		undone.push(`undoing it failed too: ${error instanceof Error ? error.message : String(error)}`);
	}
	return asL3dsrError(failure).withNotes(undone);
}
