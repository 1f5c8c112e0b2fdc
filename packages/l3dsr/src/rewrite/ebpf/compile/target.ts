/** What a program of rules is compiled for, besides its rules. */
import type { MapSpec } from "@l3dsr/bpf";
import type { Address, Dscp, Prefix } from "@l3dsr/packet";
import type { Rule } from "../../../model/rule.ts";
import type { ProgramTarget } from "../../../programs/packet.ts";

export interface CompileTarget extends ProgramTarget {
	/** Report to `ring` what would be rewritten, without rewriting (report.ts). Only tc. */
	readonly report?: ReportTarget & { readonly ring: MapSpec };
}

/** The packets to report: those that meet every condition given. */
export interface ReportFilter {
	readonly vip?: Address;
	readonly dscp?: Dscp;
	readonly client?: Prefix;
}

export interface ReportTarget {
	/** Number of this program among those that share the ring buffer; its events carry it. */
	readonly origin: number;
	readonly filter: ReportFilter;
	/** Only the first packet of each flow. */
	readonly flows: boolean;
}

/** Why a program at this hook cannot express a rule; undefined if it can. */
export function hookLacks(rule: Rule, hook: CompileTarget["hook"]): string | undefined {
	if (hook === "xdp" && rule.matches.some(({ kind }) => kind === "mark"))
		return "a packet has no mark yet at XDP";
	return undefined;
}
