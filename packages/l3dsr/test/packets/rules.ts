/** A short form of DADDR rules for tests. */
import { dscp, parseAddress, portOf } from "@l3dsr/packet";
import type { Match, Rule, RuleHeader } from "../../src/model/rule.ts";

export interface RuleSketch extends Partial<Pick<Rule, "table" | "chain">> {
	readonly header?: RuleHeader;
	/** The most common match: `-m dscp --dscp N`. */
	readonly dscp?: number;
	readonly matches?: readonly Match[];
	readonly dport?: number;
	readonly clearDscp?: boolean;
}

/** A rule in raw PREROUTING, of the family of `daddr`. */
export function daddrRule(daddr: string, sketch: RuleSketch = {}): Rule {
	const address = parseAddress(daddr);
	if (address === undefined) throw new RangeError(`${daddr} is not an address`);
	const byDscp: readonly Match[] =
		sketch.dscp === undefined ? [] : [{ kind: "dscp", negated: false, dscp: dscp(sketch.dscp) }];
	return {
		family: address.family,
		table: sketch.table ?? "raw",
		chain: sketch.chain ?? "PREROUTING",
		header: sketch.header ?? {},
		matches: [...byDscp, ...(sketch.matches ?? [])],
		target: {
			daddr: address,
			clearDscp: sketch.clearDscp ?? false,
			...(sketch.dport === undefined ? {} : { dport: portOf(sketch.dport) }),
		},
	};
}
