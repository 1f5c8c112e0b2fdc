/** The one table of VIPs that every format is printed from. Pure. */
import type { Address } from "@l3dsr/packet";
import type { Configuration } from "../../model/configuration.ts";
import type { Rule } from "../../model/rule.ts";

export interface VipTable {
	/** `services`, and the settings around them. */
	readonly configuration: Configuration;
	/** What the services are as rules; where the table was read from rules, exactly those. */
	readonly rules: readonly Rule[];
	/** Addresses of the real servers, which a director must know. */
	readonly reals: readonly Address[];
}

/** A part of the table that a format cannot hold. */
export interface LeftOut {
	/** The service's name, or the rule as -S prints it. */
	readonly what: string;
	readonly why: string;
}

export interface Printed {
	readonly text: string;
	readonly left: readonly LeftOut[];
}

export type Printer = (table: VipTable) => Printed;
