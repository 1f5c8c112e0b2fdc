/** A host accepts a rewritten packet only if it has the new destination address. */
import { addressBits, sameAddress } from "@l3dsr/packet";
import type { Service } from "../../model/service.ts";
import type { InterfaceAddress } from "../addresses.ts";
import { type Check, type CheckFinding, loopbackOf, titleOf } from "./check.ts";

/** `up` does not change an address that was there before, nor its prefix. */
function tooWide(service: Service, { address, prefixLength }: InterfaceAddress): CheckFinding[] {
	const whole = addressBits(address.family);
	if (prefixLength === whole) return [];
	return [
		{
			check: "vip-on-loopback",
			severity: "warning",
			message: `${titleOf(service)} is on lo as ${address.text}/${prefixLength}, so this host treats every address of that prefix as its own`,
			remedy: `ip address del ${address.text}/${prefixLength} dev lo, then l3dsr up, which adds ${address.text}/${whole}`,
		},
	];
}

export const checkVipOnLoopback: Check = ({ configuration, facts, ruled }) =>
	configuration.services.flatMap((service) => {
		const held = (loopbackOf(facts)?.addresses ?? []).filter(({ address }) =>
			sameAddress(address, service.vip),
		);
		if (facts.routes.delivered.some((vip) => sameAddress(vip, service.vip)))
			return held.flatMap((entry) => tooWide(service, entry));
		const active = ruled.has(titleOf(service));
		const onLoopback = held.length > 0;
		const what = onLoopback ? "is on lo, but the kernel does not deliver it" : "is not on lo";
		return [
			{
				check: "vip-on-loopback",
				severity: active ? "error" : "note",
				message: active
					? `${titleOf(service)} ${what}: packets rewritten to it are forwarded or dropped`
					: `${titleOf(service)} ${what}${onLoopback ? "" : " yet"}`,
				remedy: onLoopback
					? "ip link set lo up; in ip rule, table local must come first (priority 0)"
					: "l3dsr up adds it",
			},
		];
	});
