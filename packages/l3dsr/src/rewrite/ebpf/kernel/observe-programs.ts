/** Reads our programs: their rules and counters, and what is wrong with them. */

import type { NetInterface } from "@l3dsr/linux";
import { MADE_FOR_OTHER_ADDRESSES } from "../../../model/finding.ts";
import { sameValue, ZERO_COUNTERS } from "../../../model/rule.ts";
import type { DatapathFinding, ObservedRule } from "../../datapath.ts";
import { reachable } from "../compile/reachable.ts";
import { Attachments, HOOKS_OF, PLACES } from "./attachment.ts";
import { readCounters } from "./counters.ts";
import type { EbpfOptions, ObservedPrograms } from "./ebpf.ts";
import { asksForLocal, prefixesOfContainers } from "./own-addresses.ts";

/** Throws KERNEL_*. */
export async function observePrograms(
	interfaces: readonly NetInterface[],
	options: EbpfOptions,
): Promise<ObservedPrograms> {
	const { memory } = options;
	using attachments = Attachments.find(interfaces, (id) => memory?.rulesOf(id));
	memory?.note(attachments.ours);
	const rules = attachments.ours.flatMap((attachment): ObservedRule[] => {
		const slots = attachment.rules.rules.map(({ slot }) => slot);
		const counters = readCounters(attachment, slots);
		return attachment.rules.rules.map(({ rule, ordinal, slot }) => ({
			rule,
			ordinal,
			counters: counters.get(slot) ?? ZERO_COUNTERS,
			datapath: "ebpf",
			hook: attachment.hook,
		}));
	});
	return {
		directors: attachments.directors,
		rules,
		findings: [
			...attachments.findings,
			...elsewhere(attachments, options),
			...(await stale(attachments, interfaces, options)),
		],
		records: attachments.record(),
	};
}

/** Programs at a hook other than the wanted one. */
function elsewhere({ ours }: Attachments, { hook }: EbpfOptions): DatapathFinding[] {
	if (hook === "auto") return [];
	return ours
		.filter((one) => !HOOKS_OF[hook].includes(one.hook))
		.map((one) => ({
			datapath: "ebpf",
			kind: "misplaced",
			object: `program at ${PLACES[one.hook].name} of ${one.interface.name}`,
			problem: `is attached to a different hook than ${hook}`,
		}));
}

/** Programs compiled when the host had other addresses; the next change replaces them. */
async function stale(
	{ ours }: Attachments,
	interfaces: readonly NetInterface[],
	options: EbpfOptions,
): Promise<DatapathFinding[]> {
	const asking = ours.filter(({ rules }) => rules.rules.some(asksForLocal));
	if (asking.length === 0) return [];
	const local = reachable(await options.localPrefixes());
	const others = asking.filter(({ rules }) => !sameValue(reachable(rules.local), local));
	if (others.length === 0) return [];
	const served = new Set(ours.map((one) => one.interface.name));
	const aside = new Set(reachable(prefixesOfContainers(interfaces, served, options)));
	return others
		.filter(({ rules }) => {
			const known = reachable(rules.local);
			const needed = local.filter((prefix) => !aside.has(prefix) || known.includes(prefix));
			return !sameValue(known, needed);
		})
		.map((attachment) => ({
			datapath: "ebpf",
			kind: "network",
			object: `program at ${PLACES[attachment.hook].name} of ${attachment.interface.name}`,
			problem: MADE_FOR_OTHER_ADDRESSES,
		}));
}
