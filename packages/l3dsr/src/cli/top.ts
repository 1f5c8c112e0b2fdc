/** `l3dsr top`: what runs, with rates, full-screen. */
import type { Command } from "commander";
import { statusLook } from "../inspect/status/look.ts";
import type { CliContext } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import { secondsOf } from "./option-values.ts";
import { serviceCommand } from "./services/command.ts";
import { watchStatus } from "./top/watch-status.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command.option("-d, --delay <seconds>", "between two updates", "1");
	return serviceCommand(
		command,
		{
			description:
				"Shows the services of this host with rates per second, and on a director its real servers, until you press " +
				"q. Keys sort, filter and scroll; h lists them. If the output is not a terminal, prints one table after the " +
				"other; with --json, one record per line.",
			config: true,
			privileged: "l3dsr top",
		},
		async (host, { config, json = false }) => {
			const { delay } = command.opts<{ delay: string }>();
			const intervalMs = secondsOf("--delay", delay, "more than 0") * 1000;
			const look = await statusLook(host, config, context.env);
			await interruptible(context, (signal) => watchStatus(context, { look, json, intervalMs, signal }));
			return EXIT.done;
		},
	);
}
