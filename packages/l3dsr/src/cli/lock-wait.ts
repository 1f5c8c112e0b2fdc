/** What a command prints when it has to wait for another one. */
import type { CliContext } from "./context.ts";

/** Prints who holds the lock on stderr, also with `--json`, because stdout carries the record. */
export function sayWaiting({ stderr }: Pick<CliContext, "stderr">): (holder: string) => void {
	return (holder) => void stderr.write(`waiting for ${holder}, which is changing this host\n`);
}
