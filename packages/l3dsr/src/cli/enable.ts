/** `l3dsr enable`: takes back what drain and disable have set. */
import type { Command } from "commander";
import type { CliContext } from "./context.ts";
import type { ExitCode } from "./exit-codes.ts";
import { defineHold } from "./services/hold-command.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	return defineHold(
		command,
		context,
		"enabled",
		"On a director: takes back what drain and disable have set for a real server. A state in the fleet's table stays: " +
			"exit code 1 where it keeps the real server out of use.",
	);
}
