/** What a command says when it has to wait for another one. */
import type { CliContext } from "./context.ts";

/** To be told who holds the lock: says it on stderr, with `--json` too, where stdout has the record. */
export function sayWaiting({ stderr }: Pick<CliContext, "stderr">): (holder: string) => void {
	return (holder) => void stderr.write(`waiting for ${holder}, which is changing this host\n`);
}
