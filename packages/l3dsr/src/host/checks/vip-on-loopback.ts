/** A rewritten packet is only taken in by a host that holds its new destination. */
import { sameAddress } from "@l3dsr/packet";
import { type Check, loopbackOf, titleOf } from "./check.ts";

export const checkVipOnLoopback: Check = ({ configuration, facts, ruled }) =>
	configuration.services.flatMap((service) => {
		const held = loopbackOf(facts)?.addresses.some(({ address }) => sameAddress(address, service.vip));
		if (held === true) return [];
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
