/** A name that stands for two VIPs is ambiguous. */
import type { Service } from "../../model/service.ts";
import type { Check } from "./check.ts";

export const checkNames: Check = ({ configuration }) => {
	const byName = new Map<string, Service[]>();
	for (const service of configuration.services) {
		// One name for an IPv4 and an IPv6 VIP is fine.
		const key = `${service.name} ${service.vip.family}`;
		byName.set(key, [...(byName.get(key) ?? []), service]);
	}
	return [...byName.values()].flatMap((services) => {
		const vips = [...new Set(services.map(({ vip }) => vip.text))];
		const [first] = services;
		if (first === undefined || vips.length < 2) return [];
		return [
			{
				check: "names",
				severity: "note",
				message: `${first.name} is the name of ${vips.slice(0, -1).join(", ")} and of ${vips.at(-1)}: status and diff cannot tell them apart`,
				remedy: "give each service its own name",
			},
		];
	});
};
