/** Strict reverse-path filtering drops a packet that came in where its sender is not routed back. */
import { type Check, realInterfaces } from "./check.ts";

const STRICT = 1;

export const checkReversePath: Check = (input) => {
	const { configuration, facts } = input;
	if (
		!configuration.services.some(({ vip, selection }) => vip.family === "ipv4" && selection !== undefined)
	) {
		return [];
	}
	const ways = facts.defaultRoutes.filter(({ family }) => family === "ipv4").map((route) => route.interface);
	return realInterfaces(input)
		.filter(({ name, rpFilter }) => rpFilter === STRICT && !ways.includes(name))
		.map(({ name }) => ({
			check: "reverse-path",
			severity: ways.length === 0 ? "warning" : "error",
			message:
				ways.length === 0
					? `${name} filters by reverse path (rp_filter 1) and there is no default route: packets of clients that no route leads back to are dropped`
					: `${name} filters by reverse path (rp_filter 1) while the default route leaves by ${ways.join(", ")}: packets of clients that come in by ${name} are dropped`,
			remedy: `sysctl -w net.ipv4.conf.${name}.rp_filter=2 (loose); net.ipv4.conf.all.rp_filter must not be 1 either`,
		}));
};
