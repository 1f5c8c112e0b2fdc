/** How l3dsr starts its other commands: they are in the same folder, in a checkout and when installed. */
import { dirname, join } from "node:path";
import type { CliContext } from "./context.ts";

/** The command line of another command of this installation: `iptables-daddr`. */
export function commandBeside({ programPath }: CliContext, name: string): string[] {
	return [join(dirname(programPath), name)];
}
