/** A rewritten packet is only taken in by a host that holds its new destination. */
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
		if (held.length > 0) return held.flatMap((entry) => tooWide(service, entry));
		const active = ruled.has(titleOf(service));
		return [
			{
				check: "vip-on-loopback",
				severity: active ? "error" : "note",
				message: active
					? `${titleOf(service)} is not on lo: what is rewritten to it is forwarded or dropped`
					: `${titleOf(service)} is not on lo yet`,
				remedy: "l3dsr up puts it there",
			},
		];
	});
