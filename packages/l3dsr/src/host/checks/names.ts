/** A name that stands for two VIPs tells nobody which one is meant. */
import type { Service } from "../../model/service.ts";
import type { Check } from "./check.ts";

export const checkNames: Check = ({ configuration }) => {
	const byName = new Map<string, Service[]>();
	for (const service of configuration.services) {
		// One name for the IPv4 and the IPv6 VIP of one thing is fine.
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
				message: `${first.name} is the name of ${vips.slice(0, -1).join(", ")} and of ${vips.at(-1)}: what status and diff say of it can be meant for each`,
				remedy: "give each service a name of its own",
			},
		];
	});
};
