/** A rewritten packet is only taken in by a host that its new destination is an address of. */
import { addressBits, sameAddress } from "@l3dsr/packet";
import type { Service } from "../../model/service.ts";
import type { InterfaceAddress } from "../addresses.ts";
import { type Check, type CheckFinding, loopbackOf, titleOf } from "./check.ts";

/** `up` leaves an address as it is that was there before, with its prefix. */
function tooWide(service: Service, { address, prefixLength }: InterfaceAddress): CheckFinding[] {
	const whole = addressBits(address.family);
	if (prefixLength === whole) return [];
	return [
		{
			check: "vip-on-loopback",
			severity: "warning",
			message: `${titleOf(service)} is on lo as ${address.text}/${prefixLength}, so that this host takes every address of it for its own`,
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
					? `${titleOf(service)} ${what}: what is rewritten to it is forwarded or dropped`
					: `${titleOf(service)} ${what}${onLoopback ? "" : " yet"}`,
				remedy: onLoopback
					? "ip link set lo up; ip rule must have the table local at first (priority 0)"
					: "l3dsr up puts it there",
			},
		];
	});
