/**
 * Observe, plan, apply, verify; on failure the host is put back as it was found. Every command that changes a host
 * does it here. The caller holds the lock, or takes it in `beforeChange`.
 */
import { L3dsrError } from "../errors.ts";
import { describeMissing } from "../host/capabilities.ts";
import { sameFinding } from "../model/finding.ts";
import type { RuleEntry } from "../model/ruleset.ts";
import type { DesiredHost, HostState, Step } from "../plan/host-state.ts";
import { asBefore, planSteps } from "../plan/plan-steps.ts";
import type { ObserveOptions } from "../rewrite/datapath.ts";
import type { HostDatapath, HostSnapshot } from "../rewrite/host-datapath.ts";
import { applyPlan } from "./apply.ts";
import { ReconcileError, type Undoing } from "./failure.ts";
import type { HostEffects } from "./host-effects.ts";
import { type ObservedHost, observeHost, type Scope } from "./observe.ts";
import { directorSteps, type Plan, planDesired, planTarget, type Target } from "./target.ts";

/**
 * Called with the observation before anything is changed, with each step before it is applied, and with the
 * observation that verified a target.
 */
export interface Listener<D extends DesiredHost = DesiredHost> {
	onFound?(observed: ObservedHost): void;
	/**
	 * Called before the first change if the caller has observed without the lock. It takes the lock and tells whether
	 * the host may have changed; if so, the host is observed again. If it throws, reconciling ends and nothing is
	 * changed.
	 */
	beforeChange?(): Promise<"as-found" | "look-again">;
	onStep(step: Step): void;
	/** All steps of a plan have been made but not verified yet. */
	onApplied?(): void;
	/** The last plan for a target: without steps, nothing is left to do. */
	onVerified?(plan: Plan<D>): void;
}

/** How often to follow a host that keeps changing. */
const MOST_ROUNDS = 5;

/** Observes the host and returns the plan. Changes nothing. */
export async function planHost<D extends DesiredHost>(
	host: HostEffects,
	datapath: HostDatapath,
	target: Target<D>,
): Promise<Plan<D>> {
	const observed = await observeHost(host, datapath, target.scope);
	return await planTarget(observed, target);
}

/** What `reconcile` would do, target by target: each starts from the planned result of the previous one. */
export async function rehearse<D extends DesiredHost>(
	host: HostEffects,
	datapath: HostDatapath,
	targets: readonly Target<D>[],
	{ onFound }: Pick<Listener, "onFound"> = {},
): Promise<Plan<D>[]> {
	const plans: Plan<D>[] = [];
	let supposed: ObservedHost | undefined;
	for (const target of targets) {
		if (supposed === undefined) {
			supposed = await observeHost(host, datapath, target.scope);
			onFound?.(supposed);
		}
		const plan = await planTarget(supposed, target);
		requirePossible(plan);
		plans.push(plan);
		supposed = { ...supposed, state: afterPlan(plan) };
	}
	return plans;
}

function afterPlan({ state, desired }: Plan): HostState {
	const counters = { packets: 0n, bytes: 0n };
	return {
		...state,
		findings: [],
		rules: desired.ruleset.entries.map((entry) => ({ counters, ...entry })),
		addresses: desired.addresses ?? state.addresses,
	};
}

/**
 * Applies the targets one after the other. Returns the first plan of each: without steps, there was nothing
 * to do. Throws ReconcileError, or the error of a target before anything has been changed.
 */
export async function reconcile<D extends DesiredHost>(
	host: HostEffects,
	datapath: HostDatapath,
	targets: readonly Target<D>[],
	listener: Listener<D>,
): Promise<Plan<D>[]> {
	const run = new Reconciling<D>(host, datapath, listener);
	return await run.toAll(targets);
}

/** What is needed to undo. */
interface Begun {
	readonly before: ObservedHost;
	readonly scope: Scope;
	readonly desired: DesiredHost;
}

class Reconciling<D extends DesiredHost> {
	readonly #host: HostEffects;
	readonly #datapath: HostDatapath;
	readonly #listener: Listener<D>;
	/** The original state; undefined until something is about to be changed. */
	#begun: Begun | undefined;

	constructor(host: HostEffects, datapath: HostDatapath, listener: Listener<D>) {
		this.#host = host;
		this.#datapath = datapath;
		this.#listener = listener;
	}

	async toAll(targets: readonly Target<D>[]): Promise<Plan<D>[]> {
		const plans: Plan<D>[] = [];
		let found: ObservedHost | undefined;
		try {
			let observed: ObservedHost | undefined;
			for (const target of targets) {
				observed ??= await this.#observe(target, { oldCounters: true });
				if (found === undefined) this.#listener.onFound?.(observed);
				let plan: Plan<D> = await this.#plan(observed, target);
				if (plan.steps.length > 0 && (await this.#mustLookAgain(plan))) {
					observed = await this.#observe(target);
					plan = await this.#plan(observed, target);
				}
				found ??= observed;
				plans.push(plan);
				if (plan.steps.length > 0) observed = await this.#to(target, plan, found);
				else this.#listener.onVerified?.(plan);
			}
			return plans;
		} catch (error) {
			if (this.#begun === undefined) throw error;
			const { failure } =
				error instanceof ReconcileError ? error : { failure: { kind: "failed", error } as const };
			throw new ReconcileError(failure, await this.#undo(this.#begun));
		}
	}

	async #mustLookAgain(plan: Plan<D>): Promise<boolean> {
		const isStale = (await this.#listener.beforeChange?.()) === "look-again";
		return isStale || (changesRules(plan) && plan.observed.snapshot.oldCounters === true);
	}

	/** Returns the resulting state of the host. */
	async #to(target: Target<D>, first: Plan<D>, found: ObservedHost): Promise<ObservedHost> {
		let plan: Plan<D> = first;
		let onStep = (step: Step): void => this.#listener.onStep(step);
		let overtaken: L3dsrError | undefined;
		let made = false;
		let before: ObservedHost = found;
		for (let round = 0; round <= MOST_ROUNDS; round++) {
			// Rules in place so far must have their current counters.
			if (before.snapshot.oldCounters === true && changesRules(plan)) {
				const { rules } = plan.observed.state;
				before = { ...before, snapshot: plan.observed.snapshot, state: { ...before.state, rules } };
			}
			this.#begun = { before, scope: target.scope, desired: plan.desired };
			overtaken = await this.#apply(plan, onStep);
			made ||= overtaken === undefined;
			if (overtaken === undefined) this.#listener.onApplied?.();
			const observed = await this.#observe(target);
			const last: Plan<D> = plan;
			plan =
				made && target.edit === true
					? await planDesired(observed, withoutCounters(plan.desired), target.scope)
					: await this.#plan(observed, target);
			if (plan.steps.length === 0) this.#listener.onVerified?.(plan);
			if (plan.steps.length === 0 || (target.scope !== "host" && onlyLeaves(plan, last))) return observed;
			// Programs contain the host's own addresses: our own change added one, and while a host starts others
			// follow.
			onStep = () => {};
		}
		throw overtaken ?? new ReconcileError({ kind: "unreached", left: plan.steps });
	}

	async #observe({ scope }: Target<D>, options: ObserveOptions = {}): Promise<ObservedHost> {
		return await observeHost(this.#host, this.#datapath, scope, options);
	}

	async #plan(observed: ObservedHost, target: Target<D>): Promise<Plan<D>> {
		const plan = await planTarget(observed, target);
		requirePossible(plan);
		return plan;
	}

	/** DATAPATH_CHANGED: something else has changed the rules since they were observed, and ours were not applied. */
	async #apply(plan: Plan, onStep: Listener["onStep"]): Promise<L3dsrError | undefined> {
		try {
			await applyPlan(this.#host, plan, onStep);
			return undefined;
		} catch (error) {
			if (error instanceof L3dsrError && error.code === "DATAPATH_CHANGED") return error;
			throw error;
		}
	}

	/**
	 * Restores the host as it was found: reverts the changes first, then repairs what is still wrong. In this order, a
	 * program that only lacks an address added by the change is right again without a repair, which could fail like the
	 * change.
	 */
	async #undo(begun: Begun): Promise<Undoing> {
		const steps: Step[] = [];
		try {
			for (const repairs of [false, true]) {
				const overtaken = await this.#undoOnce(begun, repairs, (step) => steps.push(step));
				if (overtaken !== undefined) return { steps, error: overtaken };
			}
			return { steps };
		} catch (error) {
			return { steps, error };
		}
	}

	/** `repairs`: also repair findings. Returns the error if something else keeps changing the host meanwhile. */
	async #undoOnce(
		{ before, scope, desired }: Begun,
		repairs: boolean,
		onStep: Listener["onStep"],
	): Promise<L3dsrError | undefined> {
		let overtaken: L3dsrError | undefined;
		for (let round = 0; round <= MOST_ROUNDS; round++) {
			const now = await observeHost(this.#host, this.#datapath, scope);
			// Repair only new findings: an old one may be why the change failed.
			const findings = now.state.findings.filter(
				(one) => repairs && !before.state.findings.some((other) => sameFinding(one, other)),
			);
			const state = { ...now.state, findings };
			// A director that ran before stays as it is now: the flows that it remembers cannot be restored.
			const starts = before.director.runsAt.length === 0 && now.director.runsAt.length > 0;
			const director = desired.director !== undefined && starts ? { director: "none" as const } : {};
			const wanted: DesiredHost = { ...asBefore(before.state, state, desired), ...director };
			const plan: Plan = {
				observed: now,
				desired: wanted,
				assignment: now.snapshot.assignAsObserved(wanted.ruleset, before.snapshot.rules),
				state,
				steps: [
					...(scope === "director" ? [] : planSteps(state, wanted)),
					...(await directorSteps(now, wanted)),
				],
			};
			overtaken = await this.#apply(plan, onStep);
			if (overtaken === undefined) return undefined;
		}
		return overtaken;
	}
}

/** Such a change needs current counters, because rules that move keep theirs. */
function changesRules({ steps }: Plan): boolean {
	return steps.some(({ kind }) => kind === "rules");
}

function requirePossible({ assignment: { refused }, directorRefused, observed }: Plan): void {
	if (directorRefused !== undefined) throw directorRefused;
	requireWholeView(observed.snapshot);
	if (refused !== undefined) throw new ReconcileError({ kind: "refused", rule: refused });
}

/** A change that cannot see all our programs could leave one behind that continues to rewrite. */
function requireWholeView({ limited }: HostSnapshot): void {
	const [first, ...others] = limited?.hidden ?? [];
	if (limited === undefined || limited.waived || first === undefined) return;
	const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
	throw new L3dsrError({
		code: "KERNEL_PERMISSION",
		message: `read ${first}${more}, which may be l3dsr's: ${describeMissing(limited.missing)}`,
		hint: "run it as root on the host itself; or set datapath nft if no program there is l3dsr's",
	});
}

/** Only findings are left that the last change has not repaired, and that another one would not repair either. */
function onlyLeaves({ steps }: Plan, before: Plan): boolean {
	return steps.every(
		(step) =>
			step.kind === "rules" &&
			step.added.length === 0 &&
			step.removed.length === 0 &&
			step.repaired.length > 0 &&
			step.repaired.every((one) => before.state.findings.some((other) => sameFinding(one, other))),
	);
}

/** They continue to count from the requested values. */
function withoutCounters<D extends DesiredHost>(desired: D): D {
	const entries = desired.ruleset.entries.map(({ rule, ordinal }): RuleEntry => ({ rule, ordinal }));
	return { ...desired, ruleset: { entries } };
}
