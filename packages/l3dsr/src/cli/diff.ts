/** `l3dsr diff`: desired against observed. Exit code 4 when they differ. */
import type { Command } from "commander";
import { EXIT, type ExitCode } from "../errors.ts";
import { runningPrograms, suspectsFor } from "../host/suspects.ts";
import { driftOf } from "../plan/drift.ts";
import { type CliContext, writeJson } from "./context.ts";
import { planChange } from "./services/change.ts";
import { type ServiceOptions, serviceCommand } from "./services/command.ts";
import { loadConfiguration, servicesElsewhere } from "./services/configuration.ts";
import { describeStep } from "./services/describe-step.ts";
import type { ServiceHost } from "./services/host.ts";
import { stoppedRecord, stoppedText } from "./services/stopped-services.ts";
import { tracesOf } from "./services/traces.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	return serviceCommand(
		command,
		context,
		{
			description:
				"Shows where this host is not what its configuration says, who could have changed it, and what up would do. " +
				"Exit code 4 when there is a difference.",
			config: true,
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
	const { configuration, source } = await loadConfiguration(host, options.config, env);
	const datapath = await host.openDatapath(configuration);
	const { observed, steps, stopped, assignment } = await planChange(host, datapath, {
		configuration,
		elsewhere: () => servicesElsewhere(host, env),
	});
	const refused = assignment.refused?.message;
	const drift = driftOf(observed.state, { steps, services: configuration.services, stopped });
	const suspects = steps.length === 0 ? [] : suspectsFor(tracesOf(observed.state, drift), runningPrograms());
	const record = {
		configuration: source,
		stopped: stopped.map(stoppedRecord),
		drift: drift.map(({ kind, object, problem }) => ({ kind, object, problem })),
		suspects,
		...(refused === undefined ? {} : { refused }),
		steps: steps.map((step) => ({ kind: step.kind, commands: describeStep(step) })),
	};
	if (options.json === true) writeJson(stdout, record);
	else {
		for (const one of record.stopped) stdout.write(stoppedText(one));
		for (const { object, problem } of drift) stdout.write(`${object} ${problem}\n`);
		for (const suspect of suspects) stdout.write(`possible cause: ${suspect}\n`);
		if (refused !== undefined) stdout.write(`l3dsr up will refuse to ${refused}\nwithout that it would:\n`);
		else if (steps.length > 0) stdout.write("l3dsr up would:\n");
		for (const line of steps.flatMap(describeStep)) stdout.write(`  ${line}\n`);
		if (steps.length === 0) stdout.write(`no difference: this host is what ${source} says\n`);
	}
	return steps.length === 0 ? EXIT.done : EXIT.drift;
}
