/** `l3dsr disable`: a real server gets no packets at all. */
import type { Command } from "commander";
import type { CliContext } from "./context.ts";
import type { ExitCode } from "./exit-codes.ts";
import { defineHold } from "./services/hold-command.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	return defineHold(
		command,
		context,
		"disabled",
		"On a director: stops all traffic to a real server. Other real servers reset its flows. " +
			"Applies to this director only, and survives restarts, until l3dsr enable.",
	);
}
