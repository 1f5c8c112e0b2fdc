/** Where IPv6 is off, lo takes no IPv6 address. */
import { type Check, titleOf } from "./check.ts";

export const checkIpv6Disabled: Check = ({ configuration, facts }) =>
	facts.ipv6Disabled
		? configuration.services
				.filter(({ vip }) => vip.family === "ipv6")
				.map((service) => ({
					check: "ipv6-disabled",
					severity: "error" as const,
					message: `${titleOf(service)} cannot be on lo: IPv6 is disabled on this host`,
					remedy: "sysctl -w net.ipv6.conf.all.disable_ipv6=0, or take the service away",
				}))
		: [];
