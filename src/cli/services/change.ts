/** Observe, plan, apply, verify; on failure the host is put back as it was found. */
import type { RuleStore } from "../../datapath/datapath.ts";
import { L3dsrError } from "../../errors.ts";
import type { AddressChange } from "../../host/addresses.ts";
import type { Configuration } from "../../model/configuration.ts";
import type { Service } from "../../model/service.ts";
import { type DesiredHost, desiredHost, planHost, type Step } from "../../plan/host-plan.ts";
import { describeStep } from "./describe-step.ts";
import type { ServiceHost } from "./host.ts";
import { type ObservedHost, observeHost, wishOf } from "./observe.ts";

/** What a host should be made into. */
export interface Target {
	readonly configuration: Pick<Configuration, "services" | "table" | "interfaces" | "datapath">;
	/** Services that dsrctl looks after. */
	elsewhere(): Promise<readonly Service[]>;
	/** The eBPF engine can serve rules that name an interface. */
	readonly ebpf: boolean;
}

export interface Plan {
	readonly observed: ObservedHost;
	readonly desired: DesiredHost;
	readonly steps: readonly Step[];
}

/** Changes nothing. */
export async function planChange(host: ServiceHost, datapath: RuleStore, target: Target): Promise<Plan> {
	const observed = await observeHost(host, datapath);
	const wish = await wishOf(target.configuration, observed, target.elsewhere, target.ebpf);
	const desired = desiredHost(observed.state, wish);
	return { observed, desired, steps: planHost(observed.state, desired) };
}

/**
 * Makes the host what the target says; the caller holds the lock. `onStep` hears of each step before it is
 * made. Throws DATAPATH_VERIFY when the host is not so afterwards, and whatever a step failed with, after
 * undoing what was done.
 */
export async function makeChange(
	host: ServiceHost,
	datapath: RuleStore,
	target: Target,
	onStep: (step: Step) => void,
): Promise<Plan> {
	const plan = await planChange(host, datapath, target);
	if (plan.steps.length === 0) return plan;
	try {
		await applySteps(host, datapath, plan.observed, plan.steps, onStep);
	} catch (error) {
		await undo(host, datapath, plan.observed, error);
		throw error;
	}
	const left = await planChange(host, datapath, target);
	if (left.steps.length > 0) {
		throw new L3dsrError({
			code: "DATAPATH_VERIFY",
			message: "verify the host after the change: it is not as it should be",
			notes: left.steps.flatMap(describeStep).map((line) => `still to do: ${line}`),
			hint: "something else may be changing this host at the same time; run it again",
		});
	}
	return plan;
}

async function applySteps(
	host: ServiceHost,
	datapath: RuleStore,
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
		const change = addressChange(step);
		if (change === undefined) await flush();
		onStep(step);
		if (change !== undefined) waiting.push(change);
		if (step.kind === "guard") {
			await host.applyGuard(step.guard, guard);
			guard =
				step.guard === undefined
					? { held: [], altered: false }
					: { held: step.guard.held, guard: step.guard, altered: false };
		}
		if (step.kind === "rules") await datapath.apply(step.ruleset, observed.observation);
	}
	await flush();
}

function addressChange(step: Step): AddressChange | undefined {
	switch (step.kind) {
		case "add-address":
			return { kind: "add", ...step.entry };
		case "remove-address":
			return { kind: "remove", ...step.entry };
		case "relabel":
			return { kind: "relabel", ...step.entry, label: step.label };
		default:
			return undefined;
	}
}

/** Back to what was found; what cannot be put back is added to the error as a cause of more work. */
async function undo(
	host: ServiceHost,
	datapath: RuleStore,
	before: ObservedHost,
	failure: unknown,
): Promise<void> {
	try {
		const now = await observeHost(host, datapath);
		const steps = planHost(now.state, {
			ruleset: { entries: before.state.rules.map(({ rule, ordinal }) => ({ rule, ordinal })) },
			addresses: before.state.addresses,
			guard: before.guard.guard,
		});
		await applySteps(host, datapath, now, steps, () => {});
	} catch (error) {
		const reason = error instanceof Error ? error.message : String(error);
		const [first, ...rest] = diagnosticsOf(failure);
		throw new L3dsrError(
			[
				{ ...first, notes: [...(first.notes ?? []), `the change could not be undone either: ${reason}`] },
				...rest,
			],
			{ cause: failure },
		);
	}
}

function diagnosticsOf(error: unknown): L3dsrError["diagnostics"] {
	if (error instanceof L3dsrError) return error.diagnostics;
	return [{ code: "INTERNAL", message: error instanceof Error ? error.message : String(error) }];
}
