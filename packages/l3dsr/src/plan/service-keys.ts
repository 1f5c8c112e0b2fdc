/**
 * Identifies the service that a rule works for, by VIP and code, whether the rule is from `l3dsr up`, dsrctl or by
 * hand. Pure.
 */
import type { Address, Dscp } from "@l3dsr/packet";
import { signatureOf } from "../model/lower-service.ts";
import type { Rule } from "../model/rule.ts";
import type { Service } from "../model/service.ts";

/** The VIP and code of a rule that does exactly what a service does; else undefined. */
function serviceOfRule(rule: Rule): { readonly vip: Address; readonly dscp: Dscp } | undefined {
	if (rule.chain !== "PREROUTING" || rule.target.dport !== undefined || rule.target.clearDscp)
		return undefined;
	let dscp: Dscp | undefined;
	for (const match of rule.matches) {
		// A comment matches every packet, and `--dst-type LOCAL` every packet that a director sends here.
		if (match.kind === "comment" || (match.kind === "addrtype" && !match.negated)) continue;
		if (match.kind !== "dscp" || match.negated || dscp !== undefined) return undefined;
		dscp = match.dscp;
	}
	if (dscp === undefined) return undefined;
	const { inInterface, ...others } = rule.header;
	if (Object.values(others).some((part) => part !== undefined)) return undefined;
	// `l3dsr up` writes one rule for each interface; a rule by hand with `-i` leaves out the other interfaces.
	if (inInterface !== undefined && signatureOf(rule) === undefined) return undefined;
	return { vip: rule.target.daddr, dscp };
}

/** The same text for each VIP and code, however they are written. */
function serviceKey(vip: Address, dscp: Dscp): string {
	return `${vip.text}=${dscp}`;
}

/** Like {@link serviceKey}; undefined for L2DSR, which needs no rule. */
export function keyOfService({ vip, selection }: Service): string | undefined {
	return selection?.dscp === undefined ? undefined : serviceKey(vip, selection.dscp);
}

export function keyOfRule(rule: Rule): string | undefined {
	const service = serviceOfRule(rule);
	return service === undefined ? undefined : serviceKey(service.vip, service.dscp);
}
