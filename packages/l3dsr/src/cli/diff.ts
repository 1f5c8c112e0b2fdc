/** `l3dsr diff`: compares desired and observed state. Exit code 4 if they differ. */
import type { Command } from "commander";
import { describeStep, stepRecord } from "../inspect/describe-step.ts";
import { differenceOf } from "../inspect/difference.ts";
import { absentTexts, configuredTarget } from "../reconcile/configured-host.ts";
import { planHost } from "../reconcile/reconcile.ts";
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
				"Shows where this host differs from its configuration, the possible cause, and what up would do. " +
				"Exit code 4 if there is a difference.",
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
	const plan = await planHost(host, await host.openDatapath(configuration), target);
	const { steps, desired } = plan;
	const { drift, suspects, refused, differs } = differenceOf(configuration, plan);
	const record = {
		configuration: source,
		stopped: desired.stopped.map(stoppedRecord),
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
