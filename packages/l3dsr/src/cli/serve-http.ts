/** `l3dsr serve-http`: the HTTP process of the agent. The agent starts it; it is not for users. */
import type { Command } from "commander";
import { runHttpProcess } from "../serve/http/main.ts";
import { ownPrivileges } from "../serve/http/privileges.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";

export function define(_command: Command): () => Promise<ExitCode> {
	return async () => {
		// Signals go to the agent, which ends this process when it ends.
		for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
		await runHttpProcess(process.stdin, process.stdout, ownPrivileges);
		process.exit(EXIT.done);
	};
}
