/** `l3dsr status`, and bare `l3dsr`: what runs, with counters. */
import type { Command } from "commander";
import { identifyStatus } from "../inspect/status/identify.ts";
import { statusLook } from "../inspect/status/look.ts";
import { type Verdict, verdictOf } from "../inspect/status/verdict.ts";
import { type CliContext, writeJson } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import { secondsOf } from "./option-values.ts";
import { VERSION } from "./package-version.ts";
import { type ServiceOptions, serviceCommand } from "./services/command.ts";
import type { ServiceHost } from "./services/host.ts";
import { statusText } from "./services/status-text.ts";
import { rulesText } from "./show.ts";
import { styleFor } from "./style.ts";

interface StatusOptions extends Pick<ServiceOptions, "config" | "json"> {
	/** Seconds between two updates; true means one second. */
	readonly watch?: string | true;
}

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command.option("--watch [seconds]", "the same as l3dsr top (with --json: one record per line)");
	return serviceCommand(
		command,
		{
			description:
				"Shows the services of this host: whether they are up, what they have rewritten, and where the host differs " +
				"from its configuration. Without a configuration: what the kernel has. " +
				"Exit code 0 if every service is up, 1 if one is not, 4 if the host differs otherwise.",
			config: true,
			privileged: "l3dsr status",
		},
		(host, options) => status(context, host, { ...options, ...command.opts<Pick<StatusOptions, "watch">>() }),
	);
}

export async function status(
	context: CliContext,
	host: ServiceHost,
	options: StatusOptions,
): Promise<ExitCode> {
	const look = await statusLook(host, options.config, context.env);
	if (options.watch !== undefined) {
		const seconds = options.watch === true ? 1 : secondsOf("--watch", options.watch, "more than 0");
		const { watchStatus } = await import("./top/watch-status.ts");
		await interruptible(context, (signal) =>
			watchStatus(context, { look, json: options.json === true, intervalMs: seconds * 1000, signal }),
		);
		return EXIT.done;
	}
	const { record, observation } = await look();
	if (options.json === true) writeJson(context.stdout, "status", identifyStatus(record, VERSION));
	else if (record.configuration === null && record.services.length === 0 && record.director === undefined) {
		context.stdout.write(rulesText(context, observation));
	} else context.stdout.write(statusText(record, styleFor(context.stdout, context.env), false));
	return EXIT_OF[verdictOf(record)];
}

/** For scripts and monitoring. */
const EXIT_OF: Readonly<Record<Verdict, ExitCode>> = {
	right: EXIT.done,
	failed: EXIT.failed,
	differs: EXIT.drift,
};
