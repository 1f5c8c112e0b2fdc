/** What each command needs to be allowed to do: docs/reference/capabilities.md is the same table. */
import { type Privilege, requirePrivileges } from "../host/capabilities.ts";

/**
 * What a command cannot do without. eBPF programs are not in it: where they are not allowed, rules run on nftables
 * (`datapath: auto`), and `probe`, `check` and `trace` do the part that they may.
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
	/** The host; the file is read without it. */
	"l3dsr check": ["network"],
	/** What runs; a configuration is asked without it. */
	"l3dsr trace": ["network"],
	"l3dsr export": ["network"],
	"l3dsr lab": ["network", "raw-sockets", "namespaces"],
} as const satisfies Readonly<Record<string, readonly Privilege[]>>;

export type PrivilegedCommand = keyof typeof PRIVILEGES_OF;

/** Throws KERNEL_PERMISSION, which names what is missing, before the command has done anything. */
export function requirePrivilegesOf(command: PrivilegedCommand): void {
	requirePrivileges(command, PRIVILEGES_OF[command]);
}
