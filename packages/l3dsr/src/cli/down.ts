/** `l3dsr down`: removes what `up` has added, and nothing else. */
import type { Command } from "commander";
import { holdAgent } from "../host/hold.ts";
import { DEFAULT_CONFIGURATION } from "../model/configuration.ts";
import { configuredTarget } from "../reconcile/configured-host.ts";
import { resolveSettings } from "../sources/settings.ts";
import type { CliContext } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { change } from "./services/change-command.ts";
import { type ServiceOptions, serviceCommand } from "./services/command.ts";
import type { ServiceHost } from "./services/host.ts";
import { leavingAloneText } from "./services/keeping-text.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	return serviceCommand(
		command,
		{
			description:
				"Removes what up has added to this host, as recorded in the kernel: first the rules, then the VIPs that " +
				"no other rule needs. Needs no configuration.",
			changes: true,
			privileged: "l3dsr down",
		},
		(host, options) => down(context, host, options),
	);
}

export async function down(
	context: CliContext,
	host: ServiceHost,
	options: Omit<ServiceOptions, "config">,
): Promise<ExitCode> {
	const target = configuredTarget(host, DEFAULT_CONFIGURATION, async () => []);
	await change(context, host, target, {
		...options,
		settings: resolveSettings({}, context.env),
		outcome: () => "no service is up",
		tellAgent: () => holdAgent("l3dsr down"),
		keeping: leavingAloneText,
	});
	return EXIT.done;
}
