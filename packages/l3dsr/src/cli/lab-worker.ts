/** `l3dsr lab-worker`: the process that `l3dsr lab` runs on each of its hosts. Not for people. */
import type { Command } from "commander";
import { runWorker } from "../lab/worker.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";

export function define(_command: Command): () => Promise<ExitCode> {
	return async () => {
		await runWorker(process.stdin, process.stdout);
		// A pending request must not keep the process alive: nobody waits for it any longer.
		process.exit(EXIT.done);
	};
}
