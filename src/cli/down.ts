/** `l3dsr down`: takes away what `up` has put there, and nothing else. */
import type { Command } from "commander";
import { EXIT, type ExitCode } from "../errors.ts";
import { DEFAULT_CONFIGURATION } from "../model/configuration.ts";
import type { CliContext } from "./context.ts";
import { change } from "./services/change-command.ts";
import { addServiceOptions, inNamespace, type ServiceOptions } from "./services/command.ts";
import { type ServiceHost, systemServiceHost } from "./services/host.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command
		.description(
			"Takes away what up has put on this host, as the kernel remembers it: first the rules, then the VIPs that " +
				"nobody else's rule needs. Needs no configuration.",
		)
		.option("-n, --dry-run", "print the plan and change nothing");
	addServiceOptions(command, { lock: true });
	return async () => {
		const options = command.opts<Omit<ServiceOptions, "config"> & { dryRun?: boolean }>();
		return await inNamespace(context, options, () => down(context, systemServiceHost(context), options));
	};
}

export async function down(
	context: CliContext,
	host: ServiceHost,
	options: Omit<ServiceOptions, "config"> & { readonly dryRun?: boolean },
): Promise<ExitCode> {
	const target = {
		configuration: DEFAULT_CONFIGURATION,
		elsewhere: async () => [],
	};
	await change(context, host, target, {
		...options,
		engines: DEFAULT_CONFIGURATION,
		settled: "nothing to do: no service is up",
	});
	return EXIT.done;
}
