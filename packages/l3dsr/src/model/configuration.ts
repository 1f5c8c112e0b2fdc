/** The content of l3dsr.yaml as values: the wish that `up` applies to the kernel. */

import type { AgentSettings } from "./agent-settings.ts";
import type { DirectorConfiguration } from "./director.ts";
import type { InterfaceName } from "./interface-name.ts";
import type { OpenChecksums } from "./open-checksums.ts";
import type { Table } from "./rule.ts";
import type { Service } from "./service.ts";

export const DATAPATH_CHOICES = ["auto", "ebpf", "nft"] as const;
export type DatapathChoice = (typeof DATAPATH_CHOICES)[number];

/** Where the ebpf datapath sees packets. */
export const HOOKS = ["tc", "xdp", "xdp-generic"] as const;
export type Hook = (typeof HOOKS)[number];

/**
 * The choices outside of a file. `tc` is tcx, or clsact before Linux 6.6; `auto` is the hook where a program of ours
 * is attached already, else `tc`.
 */
export const HOOK_CHOICES = ["auto", "tc", "tcx", "clsact", "xdp", "xdp-generic"] as const;
export type HookChoice = (typeof HOOK_CHOICES)[number];

/** Which datapath runs the rules, and where. */
export interface DatapathSettings {
	readonly datapath: DatapathChoice;
	readonly hook: HookChoice;
	readonly openChecksums: OpenChecksums;
}

/** The part of a configuration that every command that changes rules uses. */
export interface HostSettings {
	/** The table of services' rules. */
	readonly table: Table;
	/** The keys present in the file. */
	readonly given: Partial<DatapathSettings>;
}

export interface Configuration extends DatapathSettings {
	/** Where packets from directors arrive. Absent: any interface that may receive them. */
	readonly interfaces?: readonly InterfaceName[];
	readonly table: Table;
	/** A folder of dsr.conf files, or one such file, whose services this host also has. */
	readonly include?: string;
	/** The fleet's table; this host also has its services for this host. */
	readonly fleet?: string;
	/** Set if this host directs the packets for the fleet's VIPs. */
	readonly director?: DirectorConfiguration;
	/** Where the agent serves its state; absent if the file does not say. */
	readonly agent?: AgentSettings;
	readonly services: readonly Service[];
}

/** The configuration of an empty file. */
export const DEFAULT_CONFIGURATION: Configuration = Object.freeze({
	datapath: "auto",
	hook: "tc",
	openChecksums: "refuse",
	table: "raw",
	services: Object.freeze([]),
});
