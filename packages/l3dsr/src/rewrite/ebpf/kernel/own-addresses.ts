/** Which of the host's own addresses a program with `addrtype` is made for. */

import type { NetInterface } from "@l3dsr/linux";
import type { Prefix } from "@l3dsr/packet";
import type { RuleEntry } from "../../../model/ruleset.ts";
import type { EbpfOptions } from "./ebpf.ts";

export function asksForLocal({ rule }: Pick<RuleEntry, "rule">): boolean {
	return rule.matches.some(({ kind }) => kind === "addrtype");
}

/**
 * Addresses of bridges other than the interfaces with rules: container networks, to which no director sends. They
 * come and go, and no program includes them. A bridge on top of an interface with rules holds the address that
 * packets are sent to, so it is included.
 */
export function prefixesOfContainers(
	interfaces: readonly NetInterface[],
	served: ReadonlySet<string>,
	{ bridgePrefixes }: Pick<EbpfOptions, "bridgePrefixes">,
): Prefix[] {
	const byIndex = new Map<number, NetInterface>(interfaces.map((one) => [one.index, one]));
	const aboveServed = new Set<string>();
	for (const one of interfaces.filter(({ name }) => served.has(name))) {
		for (let at: NetInterface | undefined = one; at !== undefined && !aboveServed.has(at.name); ) {
			aboveServed.add(at.name);
			at = at.master === undefined ? undefined : byIndex.get(at.master);
		}
	}
	return [...(bridgePrefixes?.() ?? [])]
		.filter(([name]) => !aboveServed.has(name))
		.flatMap(([, prefixes]) => prefixes);
}
