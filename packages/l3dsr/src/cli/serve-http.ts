/** `l3dsr serve-http`: the process that speaks HTTP for the agent, which starts it. Not for people. */
import type { Command } from "commander";
import { runHttpProcess } from "../serve/http/main.ts";
import { ownPrivileges } from "../serve/http/privileges.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";

export function define(_command: Command): () => Promise<ExitCode> {
	return async () => {
		// The agent is told to end, and ends this process with it.
		for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
		await runHttpProcess(process.stdin, process.stdout, ownPrivileges);
		process.exit(EXIT.done);
	};
}
