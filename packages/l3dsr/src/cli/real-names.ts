/** `l3dsr real-names`: the real servers of the fleet, one POOL/NAME a line. For completion, not for people. */
import type { Command } from "commander";
import { realText } from "../model/held-real.ts";
import { loadConfiguration } from "../sources/configuration.ts";
import { CONFIG_FILE, SYSTEM_FILES } from "../sources/source-files.ts";
import type { CliContext } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";

export function define(command: Command, { env, stdout }: CliContext): () => Promise<ExitCode> {
	command.option("-c, --config <path>", "the configuration", CONFIG_FILE);
	return async () => {
		const { config } = command.opts<{ readonly config: string }>();
		const { fleet } = await loadConfiguration(SYSTEM_FILES, config, env);
		for (const { name: pool, reals } of fleet?.fleet.pools ?? [])
			for (const { name: real } of reals) stdout.write(`${realText({ pool, real })}\n`);
		return EXIT.done;
	};
}
