/** `l3dsr drain`: a real server keeps its existing flows and gets no new ones. */
import type { Command } from "commander";
import type { CliContext } from "./context.ts";
import type { ExitCode } from "./exit-codes.ts";
import { defineHold } from "./services/hold-command.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	return defineHold(
		command,
		context,
		"drain",
		"On a director: sends no new flows to a real server. Its existing flows stay until the pool's drain is over. " +
			"Applies to this director only, and survives restarts, until l3dsr enable.",
	);
}
