/** If IPv6 is disabled, lo cannot have an IPv6 address: those services stay stopped, and the others run. */
import { type Check, titleOf } from "./check.ts";

export const checkIpv6Disabled: Check = ({ stopped }) =>
	stopped.map(({ service, reason }) => ({
		check: "ipv6-disabled",
		severity: "warning",
		message: `${titleOf(service)} stays stopped: ${reason}`,
		remedy:
			"sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0 and l3dsr up, or remove the service",
	}));
