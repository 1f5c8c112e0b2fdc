/** Ends drains on time on hosts without an agent: every command that looks at the director ends those that are over. */
import { isLockHeld } from "../host/lock.ts";
import type { DesiredDirector } from "../model/director.ts";
import type { HostEffects } from "./host-effects.ts";
import type { Plan } from "./target.ts";

/** A process that holds the lock is changing the director, and ends the finished drains itself. */
export async function endDueDrains(
	host: Pick<HostEffects, "lock">,
	{ observed, steps }: Plan,
	wanted: DesiredDirector | undefined,
): Promise<void> {
	const isDue = steps.some((step) => step.kind === "director" && step.plan.drainsOver > 0);
	if (wanted === undefined || !isDue) return;
	try {
		using _lock = await host.lock(0);
		await observed.director.endDrains(wanted);
	} catch (error) {
		if (!isLockHeld(error)) throw error;
	}
}
