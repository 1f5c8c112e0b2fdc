/** `l3dsr up`: applies the configuration to this host. */
import type { Command } from "commander";
import { requireAgentAgrees } from "../host/agent-presence.ts";
import { releaseHold } from "../host/hold.ts";
import { configuredTarget, refusingSilence } from "../reconcile/configured-host.ts";
import { servicesElsewhere } from "../sources/configuration.ts";
import type { WantedDirector } from "../sources/director.ts";
import { loadWish } from "../sources/wish.ts";
import type { CliContext } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { change } from "./services/change-command.ts";
import { type ServiceOptions, serviceCommand } from "./services/command.ts";
import type { ServiceHost } from "./services/host.ts";
import { keepingSoText } from "./services/keeping-text.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	return serviceCommand(
		command,
		{
			description:
				"Applies the configuration to this host: VIPs on lo without ARP, and the rules that rewrite to " +
				"them. Prints what it does. Changes only what differs, and nothing that does not belong to l3dsr.",
			config: true,
			privileged: "l3dsr up",
			changes: true,
		},
		(host, options) => up(context, host, options),
	);
}

export async function up(context: CliContext, host: ServiceHost, options: ServiceOptions): Promise<ExitCode> {
	const { env } = context;
	const { configuration, director, source } = await loadWish(host, options.config, env);
	if (options.dryRun !== true) requireAgentAgrees(options.config);
	const target = configuredTarget(host, configuration, () => servicesElsewhere(host, env), director);
	await change(context, host, refusingSilence(target), {
		...options,
		settings: configuration,
		configuration: source,
		outcome: (count) => outcomeText(count, director),
		// The agent's hold, set by down.
		onDone: () => void releaseHold(),
		keeping: (keeping) => keepingSoText(keeping, options.config),
	});
	return EXIT.done;
}

function outcomeText(services: number, director: WantedDirector | undefined): string {
	const own =
		services === 0 ? "no service is up" : `${services} service${services === 1 ? " is" : "s are"} up`;
	if (director === undefined) return own;
	const vips = director.fleet.vips.length;
	const directing = `this host directs ${vips} VIP${vips === 1 ? "" : "s"}`;
	return services === 0 ? directing : `${own}, and ${directing}`;
}
