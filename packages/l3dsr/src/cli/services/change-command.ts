/** What up and down do once they know what the host should be. */
import type { Step } from "../../plan/host-plan.ts";
import { type CliContext, writeJson } from "../context.ts";
import { interruptible } from "../interrupt.ts";
import { reportError } from "../report.ts";
import { makeChange, type Plan, planChange, type Target } from "./change.ts";
import { describeStep, subjectsOf } from "./describe-step.ts";
import type { EngineChoice, ServiceHost } from "./host.ts";
import { stoppedRecord, stoppedText } from "./stopped-services.ts";

export interface ChangeOptions {
	readonly engines: EngineChoice;
	/** Name of the file that asks for it. */
	readonly configuration?: string;
	readonly dryRun?: boolean;
	readonly json?: boolean;
	/** Seconds to wait for the lock. */
	readonly wait: number;
	/** Said when there is nothing to do, of so many services. */
	readonly settled: (services: number) => string;
}

/**
 * Prints the steps as they are made (with `dryRun`: as they would be), or all of them as JSON. A signal waits
 * until the host is whole: changed, or as it was.
 */
export async function change(
	context: CliContext,
	host: ServiceHost,
	target: Target,
	options: ChangeOptions,
): Promise<void> {
	const { stdout } = context;
	const datapath = await host.openDatapath(options.engines);
	const print = (step: Step): void => {
		if (options.json === true) return;
		for (const line of describeStep(step)) stdout.write(`${line}\n`);
	};
	const finish = ({ steps, stopped, wish }: Plan): void => {
		if (options.json === true) {
			writeJson(stdout, {
				configuration: options.configuration ?? null,
				dryRun: options.dryRun === true,
				stopped: stopped.map(stoppedRecord),
				steps: steps.map((step) => ({
					kind: step.kind,
					subjects: subjectsOf(step),
					commands: describeStep(step),
				})),
			});
			return;
		}
		if (steps.length === 0) stdout.write(`${options.settled(wish.services.length)}\n`);
		for (const one of stopped) stdout.write(stoppedText(stoppedRecord(one)));
	};
	if (options.dryRun === true) {
		const plan = await planChange(host, datapath, target);
		if (plan.assignment.refused !== undefined) throw plan.assignment.refused;
		plan.steps.forEach(print);
		finish(plan);
		return;
	}
	using _lock = await host.lock(options.wait * 1000);
	await interruptible(context, async (signal) => {
		try {
			finish(await makeChange(host, datapath, target, print));
		} catch (error) {
			// This process is about to end by the signal: what has become of the host is said before.
			if (signal.aborted) reportError(context, error);
			throw error;
		}
	});
}
