/** What l3dsr.yaml says, as values: the wish that `up` makes the kernel match. */

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
 * What may be asked for where no file says it. `tc` is tcx, or clsact before Linux 6.6; `auto` is where a program
 * of ours is attached already, else `tc`.
 */
export const HOOK_CHOICES = ["auto", "tc", "tcx", "clsact", "xdp", "xdp-generic"] as const;
export type HookChoice = (typeof HOOK_CHOICES)[number];

/** Which datapath runs the rules, and where. */
export interface DatapathSettings {
	readonly datapath: DatapathChoice;
	readonly hook: HookChoice;
	readonly openChecksums: OpenChecksums;
}

/** What a configuration says to every command that changes rules. */
export interface HostSettings {
	/** Of services' rules. */
	readonly table: Table;
	/** The keys that stand in the file. */
	readonly given: Partial<DatapathSettings>;
}

export interface Configuration extends DatapathSettings {
	/** Where packets from directors arrive. Absent: wherever the host has a global address. */
	readonly interfaces?: readonly InterfaceName[];
	readonly table: Table;
	/** A folder of dsr.conf files, or one such file, whose services are this host's too. */
	readonly include?: string;
	/** The fleet's table, whose services for this host are its too. */
	readonly fleet?: string;
	/** This host directs the packets for the fleet's VIPs. */
	readonly director?: DirectorConfiguration;
	/** Where the agent shows what it does; absent where the file does not say. */
	readonly agent?: AgentSettings;
	readonly services: readonly Service[];
}

/** What a file that says nothing asks for. */
export const DEFAULT_CONFIGURATION: Configuration = Object.freeze({
	datapath: "auto",
	hook: "tc",
	openChecksums: "refuse",
	table: "raw",
	services: Object.freeze([]),
});
