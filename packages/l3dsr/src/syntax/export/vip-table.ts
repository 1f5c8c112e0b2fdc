/** The table of VIPs from which every format is printed. Pure. */
import type { Address } from "@l3dsr/packet";
import type { Configuration } from "../../model/configuration.ts";
import type { Rule } from "../../model/rule.ts";

export interface VipTable {
	/** `services`, and the other settings. */
	readonly configuration: Configuration;
	/** The services as rules; if the table was read from rules, exactly those. */
	readonly rules: readonly Rule[];
	/** Addresses of the real servers, which a director needs to know. */
	readonly reals: readonly Address[];
}

/** Part of the table that a format cannot represent. */
export interface LeftOut {
	/** The service's name, or the rule as -S prints it. */
	readonly what: string;
	readonly why: string;
	/** Not a service. */
	readonly isRule?: true;
}

export interface Printed {
	readonly text: string;
	readonly left: readonly LeftOut[];
}

export type Printer = (table: VipTable) => Printed;
