/** Why a rule runs on its datapath, as a record. */
import { L3dsrError } from "../errors.ts";
import { describeMissing, type Missing } from "../host/capabilities.ts";
import type { Chain } from "../model/rule.ts";
import type { RuleEntry } from "../model/ruleset.ts";
import { formatRuleSpec } from "../syntax/iptables/rule-format.ts";

export type Reason =
	/** The configuration or the environment demands nft. */
	| { readonly kind: "asked-for-nft" }
	| { readonly kind: "known-interface"; readonly interface: string }
	/** No `-i`. */
	| { readonly kind: "every-interface" }
	/** `! -i`. */
	| { readonly kind: "every-other-interface" }
	/** `-i eth+`. */
	| { readonly kind: "interfaces-to-come"; readonly interface: string }
	| { readonly kind: "no-interface"; readonly interface: string }
	/** A chain after tc ingress. */
	| { readonly kind: "later-chain"; readonly chain: Chain }
	/** `-m addrtype` in a rule that does not belong to a service. */
	| { readonly kind: "live-routes" }
	/** It sets a port of packets whose answers nftables cannot translate back. */
	| { readonly kind: "answers" }
	/** A rule before it stays on nft and could match the same packet. */
	| { readonly kind: "order" }
	/** What the interface or its program lacks. */
	| { readonly kind: "not-in-a-program"; readonly lacks: string }
	/** This process may not use eBPF. */
	| { readonly kind: "not-allowed"; readonly missing: Missing }
	/** It ran there before. */
	| { readonly kind: "as-before" };

export function describeReason(reason: Reason): string {
	switch (reason.kind) {
		case "asked-for-nft":
			return "configured: nft";
		case "known-interface":
			return `its interface ${reason.interface} is known`;
		case "every-interface":
			return "a rule without -i applies to all interfaces";
		case "every-other-interface":
			return "-i with ! applies to all other interfaces, present and future";
		case "interfaces-to-come":
			return `-i ${reason.interface}+ includes future interfaces`;
		case "no-interface":
			return `there is no interface ${reason.interface} now`;
		case "later-chain":
			return `chain ${reason.chain} is a netfilter hook after tc ingress`;
		case "live-routes":
			return "-m addrtype looks up the routing table for each packet";
		case "answers":
			return "it sets a port, and only nftables translates answers back, for TCP and UDP";
		case "order":
			return "a rule before it stays on nft and could match the same packet";
		case "not-in-a-program":
			return reason.lacks;
		case "not-allowed":
			return `no eBPF: ${describeMissing(reason.missing)}`;
		case "as-before":
			return "it ran there before";
	}
}

/**
 * The error (KERNEL_FEATURE or KERNEL_PERMISSION) for a rule that cannot run on the datapath ebpf although the
 * configuration demands it.
 */
export function refusalOf({ entry: { rule }, reason }: { entry: RuleEntry; reason: Reason }): L3dsrError {
	return new L3dsrError({
		code: reason.kind === "not-allowed" ? "KERNEL_PERMISSION" : "KERNEL_FEATURE",
		message: `put rule -A ${rule.chain} ${formatRuleSpec(rule)} of table ${rule.table} on datapath ebpf: ${describeReason(reason)}`,
		hint:
			reason.kind === "not-allowed"
				? "run it as root on the host itself, or set datapath: auto or nft"
				: "set datapath: auto or nft for rules like this",
	});
}
