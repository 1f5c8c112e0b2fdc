/** Applies the steps of a plan. */
import type { GenerationStep } from "@l3dsr/nftables";
import type { AddressChange } from "../host/addresses.ts";
import { NO_GUARD } from "../host/vip-guard.ts";
import type { Step } from "../plan/host-state.ts";
import type { HostEffects } from "./host-effects.ts";
import type { Plan } from "./target.ts";

/**
 * Consecutive changes of addresses are applied together. Throws the error of the first failing step; earlier steps
 * remain applied.
 */
export async function applyPlan(
	host: HostEffects,
	{ observed, desired, assignment, steps }: Plan,
	onStep: (step: Step) => void,
): Promise<void> {
	let { guard } = observed;
	let own: GenerationStep | undefined;
	let waiting: AddressChange[] = [];
	const flush = async (): Promise<void> => {
		const changes = waiting;
		waiting = [];
		if (changes.length > 0) await host.changeLoopback(changes);
	};
	for (const step of steps) {
		const changes = addressChanges(step);
		if (changes.length === 0) await flush();
		onStep(step);
		waiting.push(...changes);
		if (step.kind === "guard") {
			own = await host.applyGuard(step.guard, guard);
			guard =
				step.guard === undefined
					? NO_GUARD
					: { held: step.guard.held, found: step.guard.found, guard: step.guard, altered: false };
		}
		if (step.kind === "rules") await observed.snapshot.change(assignment, own);
		if (step.kind === "director") await observed.director.change(desired.director ?? "none");
	}
	await flush();
}

function addressChanges(step: Step): AddressChange[] {
	switch (step.kind) {
		case "add-address":
			return [{ kind: "add", ...step.entry }];
		case "remove-address":
			return [{ kind: "remove", ...step.entry }];
		case "resize":
			return [
				{ kind: "remove", ...step.entry },
				{ kind: "add", ...step.entry, prefixLength: step.prefixLength, own: true },
			];
		default:
			return [];
	}
}
