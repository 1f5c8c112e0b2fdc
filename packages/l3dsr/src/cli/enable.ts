/** `l3dsr enable`: undoes drain and disable. */
import type { Command } from "commander";
import type { CliContext } from "./context.ts";
import type { ExitCode } from "./exit-codes.ts";
import { defineHold } from "./services/hold-command.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	return defineHold(
		command,
		context,
		"enabled",
		"On a director: undoes drain and disable for a real server. A state in the fleet's table stays: " +
			"exit code 1 if it keeps the real server out of use.",
	);
}
