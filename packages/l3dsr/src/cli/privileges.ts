/** The capabilities that each command needs: docs/reference/capabilities.md is the same table. */
import { type Privilege, requirePrivileges } from "../host/capabilities.ts";

/**
 * What a command requires. eBPF is not included: where it is not allowed, rules run on nftables (`datapath:
 * auto`), and `probe`, `check` and `trace` do the part that is allowed.
 */
export const PRIVILEGES_OF = {
	"l3dsr up": ["network"],
	"l3dsr down": ["network"],
	"l3dsr agent": ["network"],
	"l3dsr status": ["network"],
	"l3dsr top": ["network"],
	"l3dsr diff": ["network"],
	"l3dsr show": ["network"],
	"l3dsr watch": ["network"],
	/** For the host; reading the file needs none. */
	"l3dsr check": ["network"],
	/** For what runs; using a configuration needs none. */
	"l3dsr trace": ["network"],
	"l3dsr export": ["network"],
	"l3dsr lab": ["network", "raw-sockets", "namespaces"],
} as const satisfies Readonly<Record<string, readonly Privilege[]>>;

export type PrivilegedCommand = keyof typeof PRIVILEGES_OF;

/** Throws KERNEL_PERMISSION, which names the missing capabilities, before the command has done anything. */
export function requirePrivilegesOf(command: PrivilegedCommand): void {
	requirePrivileges(command, PRIVILEGES_OF[command]);
}
