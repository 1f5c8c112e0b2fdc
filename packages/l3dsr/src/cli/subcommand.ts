/** The shape of one `l3dsr` subcommand. Its module is loaded only when the subcommand is used. */
import type { Command } from "commander";
import type { CliContext } from "./context.ts";
import type { ExitCode } from "./exit-codes.ts";

export interface SubcommandModule {
	/**
	 * Adds arguments, options and help to `command`, and returns the function to call once they are parsed
	 * (read them from `command.args` and `command.opts()`). The frame (`l3dsr.ts`) renders what it throws; it
	 * prints only data, to `context.stdout`.
	 */
	define(command: Command, context: CliContext): () => Promise<ExitCode>;
}

export interface Subcommand {
	readonly name: string;
	/** One line, lower case, for `l3dsr --help`. */
	readonly summary: string;
	/** Internal: runs, but is not listed in the help. */
	readonly hidden?: true;
	/** Continues to work while it prints: a slow reader must not hold it up. */
	readonly streams?: true;
	readonly load: () => Promise<SubcommandModule>;
}
