/** How l3dsr starts its own commands again: they lie beside the one that runs, in a checkout and installed. */
import { dirname, join } from "node:path";
import type { CliContext } from "./context.ts";

/** The command line of another command of this installation: `iptables-daddr`. */
export function commandBeside({ programPath }: CliContext, name: string): string[] {
	return [join(dirname(programPath), name)];
}
