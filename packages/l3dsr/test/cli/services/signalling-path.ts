/** A program in front of the real one that signals whoever runs it, when it has changed something. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../../../../test/support/netns.ts";

/**
 * A PATH with an `nft` that counts its changes in the file `$CHANGES`. Around the `$LIMIT`-th it
 * sends `$SIGNAL`: to its parent's process group with `$WHEN` `during`, and to its parent alone with `after`.
 */
export function signallingPath(folder: string): string {
	const bin = join(folder, "bin");
	mkdirSync(bin, { recursive: true });
	for (const program of ["nft"]) {
		const real = run("sh", "-c", `command -v ${program}`).trim();
		const script = `#!/bin/sh
case " $* " in *" -f "*) ;; *) exec ${real} "$@" ;; esac
n=$(($(cat "$CHANGES" 2>/dev/null || echo 0) + 1))
echo $n >"$CHANGES"
[ "$n $WHEN" != "$LIMIT during" ] || kill -s "$SIGNAL" -- -$PPID
${real} "$@"
status=$?
[ "$n $WHEN" != "$LIMIT after" ] || kill -s "$SIGNAL" $PPID
exit $status
`;
		writeFileSync(join(bin, program), script, { mode: 0o755 });
	}
	return `${bin}:${process.env["PATH"]}`;
}
