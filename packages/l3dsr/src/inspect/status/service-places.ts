/** Where the rules of services run: for `up`, which needs only this part of the status. Pure. */
import type { DatapathChoice } from "../../model/configuration.ts";
import { signatureOf } from "../../model/lower-service.ts";
import { type ConfiguredHost, describeEverywhere } from "../../reconcile/configured-host.ts";
import type { Assignment } from "../../rewrite/assign.ts";
import type { DatapathName } from "../../rewrite/datapath.ts";
import { describeReason } from "../../rewrite/reason.ts";

/** Where the rules of services run, and why. */
export function servicePlaces(
	choice: DatapathChoice,
	{ rules }: Assignment,
	{ everywhere }: Pick<ConfiguredHost, "everywhere">,
): { readonly running: readonly DatapathName[]; readonly why: string } {
	const ofServices = rules.filter(({ entry }) => signatureOf(entry.rule) !== undefined);
	const reasons = ofServices
		// If it was a choice, only why not eBPF.
		.filter(({ datapath }) => datapath !== choice)
		.map(({ reason }) =>
			reason.kind === "every-interface" && everywhere !== undefined
				? describeEverywhere(everywhere)
				: describeReason(reason),
		);
	const chosen = choice === "auto" ? "auto" : "as configured";
	return {
		running: [...new Set(ofServices.map(({ datapath }) => datapath))].sort(),
		why: [chosen, [...new Set(reasons)].join("; ")].filter((part) => part !== "").join(": "),
	};
}
