/** What up and down do once they know the desired state of the host. */

import { type Keeping, observeKeeping } from "../../host/hold.ts";
import { describeStep, stepRecord } from "../../inspect/describe-step.ts";
import { explaining } from "../../inspect/failure-text.ts";
import { servicePlaces } from "../../inspect/status/service-places.ts";
import type { DatapathChoice, DatapathSettings } from "../../model/configuration.ts";
import type { Step } from "../../plan/host-state.ts";
import {
	absentTexts,
	type ConfiguredHost,
	describeEverywhere,
	stayingVips,
} from "../../reconcile/configured-host.ts";
import { reconcile, rehearse } from "../../reconcile/reconcile.ts";
import type { Plan, Target } from "../../reconcile/target.ts";
import { hiddenTexts } from "../../rewrite/hidden-programs.ts";
import { type CliContext, writeJson } from "../context.ts";
import { interruptible } from "../interrupt.ts";
import { sayWaiting } from "../lock-wait.ts";
import { reportError } from "../report.ts";
import type { ServiceHost } from "./host.ts";
import { stoppedRecord, stoppedText } from "./stopped-services.ts";

export interface ChangeOptions {
	readonly settings: DatapathSettings;
	/** Name of the file that asks for it. */
	readonly configuration?: string;
	readonly dryRun?: boolean;
	readonly json?: boolean;
	/** Seconds to wait for the lock. */
	readonly wait: number;
	/** The final state of the host, for a number of services: `4 services are up`. */
	readonly outcome: (services: number) => string;
	/** Tells the agent about it, under the lock and before the host changes; returns a function that takes it back. */
	readonly tellAgent?: () => () => void;
	/** Once the host is changed, and still under the lock. */
	readonly onDone?: () => void;
	/** What a running agent does about it, or would do; undefined if there is nothing to say. */
	readonly keeping: (keeping: Keeping) => string | undefined;
}

/** `, on nft (no eBPF: …)`: where the services' rules run now, and why they do not run where auto prefers. */
function placeText({ assignment, desired }: Plan<ConfiguredHost>, choice: DatapathChoice): string {
	const { running } = servicePlaces(choice, assignment, desired);
	const { everywhere } = desired;
	const why = everywhere === undefined ? "" : ` (${describeEverywhere(everywhere)})`;
	return running.length === 0 ? "" : `, on ${running.join(" and ")}${why}`;
}

/**
 * Prints the steps as they are made (with `dryRun`: as they would be), or all of them as JSON. A signal
 * waits until the host is either changed or restored.
 */
export async function change(
	context: CliContext,
	host: ServiceHost,
	target: Target<ConfiguredHost>,
	options: ChangeOptions,
): Promise<void> {
	const { stdout } = context;
	const datapath = await host.openDatapath(options.settings);
	const print = (step: Step): void => {
		if (options.json === true) return;
		for (const line of describeStep(step)) stdout.write(`${line}\n`);
	};
	const finish = (plan: Plan<ConfiguredHost>): void => {
		const { steps, desired, observed } = plan;
		const keeping = observeKeeping();
		const { stopped, wish } = desired;
		for (const text of hiddenTexts(observed.snapshot)) context.stderr.write(`warning: ${text}\n`);
		for (const text of absentTexts(desired)) context.stderr.write(`warning: ${text}\n`);
		if (options.json === true) {
			writeJson(stdout, "plan", {
				configuration: options.configuration ?? null,
				dryRun: options.dryRun === true,
				stopped: stopped.map(stoppedRecord),
				steps: steps.map(stepRecord),
				keeping,
			});
			return;
		}
		for (const one of stopped) stdout.write(stoppedText(stoppedRecord(one)));
		for (const { text } of stayingVips(plan)) {
			stdout.write(`${text} stays on lo, where it was before l3dsr up\n`);
		}
		const outcome = options.outcome(wish.services.length);
		if (steps.length === 0) stdout.write(`nothing to do: ${outcome}\n`);
		else if (options.dryRun !== true)
			stdout.write(`done: ${outcome}${placeText(plan, options.settings.datapath)}\n`);
		const kept = options.keeping(keeping);
		if (kept !== undefined) stdout.write(`${kept}\n`);
	};
	if (options.dryRun === true) {
		for (const plan of await explaining(() => rehearse(host, datapath, [target]))) {
			plan.steps.forEach(print);
			finish(plan);
		}
		return;
	}
	using _lock = await host.lock(options.wait * 1000, sayWaiting(context));
	await interruptible(context, async (signal) => {
		const takeBack = options.tellAgent?.();
		try {
			const plans = await explaining(() => reconcile(host, datapath, [target], { onStep: print }));
			options.onDone?.();
			plans.forEach(finish);
		} catch (error) {
			takeBack?.();
			// The signal is about to end this process: report the state of the host first.
			if (signal.aborted) reportError(context, error);
			throw error;
		}
	});
}
