/** The shape of one `l3dsr` subcommand. Its module is loaded only when it is the one that was asked for. */
import type { Command } from "commander";
import type { CliContext } from "./context.ts";
import type { ExitCode } from "./exit-codes.ts";

export interface SubcommandModule {
	/**
	 * Adds arguments, options and help to `command`, and returns what to do once they are parsed (read them
	 * from `command.args` and `command.opts()`). What that throws is rendered by the frame (`l3dsr.ts`); it
	 * prints only data, to `context.stdout`.
	 */
	define(command: Command, context: CliContext): () => Promise<ExitCode>;
}

export interface Subcommand {
	readonly name: string;
	/** One line, lower case, for `l3dsr --help`. */
	readonly summary: string;
	/** Internal: runs, but is in no help. */
	readonly hidden?: true;
	/** Goes on working while it prints: a slow reader must not hold it up. */
	readonly streams?: true;
	readonly load: () => Promise<SubcommandModule>;
}
