/**
 * Whether a director can run where its configuration puts it: the interfaces exist, and none of our programs
 * conflicts.
 */
import { L3dsrError } from "../errors.ts";
import type { NamedInterface } from "../model/absent-interfaces.ts";
import type { DesiredDirector } from "../model/director.ts";
import type { Assignment } from "../rewrite/assign.ts";
import { didYouMean } from "../syntax/suggest.ts";

/** Throws L3dsrError (CONFIG_BAD_VALUE). */
export function requirePlace(
	{ settings: { interfaces, hook }, rulesAt }: DesiredDirector,
	present: readonly NamedInterface[],
	{ ebpf }: Pick<Assignment, "ebpf">,
): void {
	const named = new Map<string, string>();
	for (const name of interfaces) {
		const here = present.find((one) => one.name === name || one.alternativeNames.includes(name));
		if (here === undefined) throw noInterface(name, present);
		const other = named.get(here.name);
		if (other !== undefined) throw oneInterface(name, other);
		named.set(here.name, name);
		if (ebpf.has(here.name)) requireOtherHook(here.name, hook, rulesAt);
	}
}

function oneInterface(name: string, other: string): L3dsrError {
	return new L3dsrError({
		code: "CONFIG_BAD_VALUE",
		message: `attach the director to ${name}: ${other} in director.interfaces is another name of the same interface`,
		hint: `remove ${other} or ${name}`,
	});
}

function noInterface(name: string, present: readonly NamedInterface[]): L3dsrError {
	const names = present.flatMap((one) => [one.name, ...one.alternativeNames]).filter((one) => one !== "lo");
	return new L3dsrError({
		code: "CONFIG_BAD_VALUE",
		message: `attach the director to ${name}: this host has no such interface`,
		hint:
			didYouMean(name, names) ??
			(names.length === 0
				? "this host has no interface besides lo"
				: `interfaces here are ${names.toSorted().join(", ")}`),
	});
}

/** An interface has one XDP program. At tc, the director would direct again what the rules have rewritten to a VIP. */
function requireOtherHook(name: string, hook: string, rulesAt: string): void {
	const [directorAtTc, rulesAtTc] = [hook === "tc", !rulesAt.startsWith("xdp")];
	if (directorAtTc !== rulesAtTc) return;
	const why = directorAtTc
		? "it would direct packets that these rules have just rewritten to a VIP"
		: "an interface has one XDP program";
	throw new L3dsrError({
		code: "CONFIG_BAD_VALUE",
		message: `attach the director to ${name} at ${hook}, because this host's own services run at ${rulesAt}: ${why}`,
		hint: directorAtTc
			? "use director.hook: xdp, or datapath: nft for the services"
			: "use hook: tc or datapath: nft for the services",
	});
}
