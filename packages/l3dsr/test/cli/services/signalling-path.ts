/** Programs in front of the real ones that signal whoever runs them, when they have changed something. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../../../../test/support/netns.ts";

/**
 * A PATH with an `nft` and an `ip` that count their changes in the file `$CHANGES`. Around the `$LIMIT`-th they
 * send `$SIGNAL`: to their parent's process group with `$WHEN` `during`, and to their parent alone with `after`.
 */
export function signallingPath(folder: string): string {
	const bin = join(folder, "bin");
	mkdirSync(bin, { recursive: true });
	for (const program of ["nft", "ip"]) {
		const real = run("sh", "-c", `command -v ${program}`).trim();
		const script = `#!/bin/sh
case " $* " in *" -f "*|*" -batch "*) ;; *) exec ${real} "$@" ;; esac
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
