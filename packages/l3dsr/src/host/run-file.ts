/** Files of l3dsr in /run: each network namespace has its own. */
import { statSync } from "node:fs";

/** `/run/l3dsr.INODE.KIND`, INODE that of the network namespace: by default the one this process is in. */
export function runFile(
	kind: "lock" | "agent" | "held" | "checks",
	directory = "/run",
	namespacePath = "/proc/self/ns/net",
): string {
	return `${directory}/l3dsr.${statSync(namespacePath).ino}.${kind}`;
}
