/** `l3dsr diff`: desired against observed. Exit code 4 when they differ. */
import type { Command } from "commander";
import { runningPrograms, suspectsFor } from "../host/suspects.ts";
import { describeStep, stepRecord } from "../inspect/describe-step.ts";
import { tracesOf } from "../inspect/status/traces.ts";
import { directorDrift } from "../plan/director-drift.ts";
import { driftOf } from "../plan/drift.ts";
import type { Step } from "../plan/host-state.ts";
import { absentTexts, configuredTarget, silencingText } from "../reconcile/configured-host.ts";
import { planHost } from "../reconcile/reconcile.ts";
import { refusalOf } from "../rewrite/reason.ts";
import { servicesElsewhere } from "../sources/configuration.ts";
import { loadWish } from "../sources/wish.ts";
import { type CliContext, writeJson } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { type ServiceOptions, serviceCommand } from "./services/command.ts";
import type { ServiceHost } from "./services/host.ts";
import { stoppedRecord, stoppedText } from "./services/stopped-services.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	return serviceCommand(
		command,
		{
			description:
				"Shows where this host is not what its configuration says, who could have changed it, and what up would do. " +
				"Exit code 4 when there is a difference.",
			config: true,
			privileged: "l3dsr diff",
		},
		(host, options) => diff(context, host, options),
	);
}

export async function diff(
	context: CliContext,
	host: ServiceHost,
	options: Pick<ServiceOptions, "config" | "json">,
): Promise<ExitCode> {
	const { stdout, env } = context;
	const { configuration, director, source } = await loadWish(host, options.config, env);
	const target = configuredTarget(host, configuration, () => servicesElsewhere(host, env), director);
	const { observed, state, steps, desired, assignment, directorRefused } = await planHost(
		host,
		await host.openDatapath(configuration),
		target,
	);
	const { stopped } = desired;
	const refused =
		directorRefused?.message ??
		(assignment.refused === undefined ? silencingText(desired) : refusalOf(assignment.refused).message);
	const drift = driftOf(state, { steps, services: configuration.services, stopped });
	// New next hops and drains that are over are due, and no difference to what the configuration says.
	const isDue = (step: Step) => step.kind === "director" && directorDrift(step.plan).length === 0;
	const differs = refused !== undefined || !steps.every(isDue);
	const suspects = steps.length === 0 ? [] : suspectsFor(tracesOf(observed, drift), runningPrograms());
	const record = {
		configuration: source,
		stopped: stopped.map(stoppedRecord),
		drift: drift.map(({ kind, object, problem }) => ({ kind, object, problem })),
		suspects,
		...(refused === undefined ? {} : { refused }),
		steps: steps.map(stepRecord),
	};
	if (options.json === true) writeJson(stdout, "diff", record);
	else {
		for (const one of record.stopped) stdout.write(stoppedText(one));
		for (const text of absentTexts(desired)) stdout.write(`warning: ${text}\n`);
		for (const { object, problem } of drift) stdout.write(`${object} ${problem}\n`);
		for (const suspect of suspects) stdout.write(`possible cause: ${suspect}\n`);
		if (refused !== undefined) stdout.write(`l3dsr up will refuse to ${refused}\n`);
		if (steps.length > 0)
			stdout.write(refused === undefined ? "l3dsr up would:\n" : "without that it would:\n");
		for (const line of steps.flatMap((step) => describeStep(step))) stdout.write(`  ${line}\n`);
		if (!differs) stdout.write(`no difference: this host is what ${source} says\n`);
	}
	return differs ? EXIT.drift : EXIT.done;
}
