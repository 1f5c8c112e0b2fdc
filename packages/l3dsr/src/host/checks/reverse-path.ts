/** Strict reverse-path filtering drops a packet that came in where its sender is not routed back. */
import type { Family } from "@l3dsr/packet";
import { type Check, type CheckFinding, type CheckInput, realInterfaces } from "./check.ts";

const STRICT = 1;

export const checkReversePath: Check = (input) => [...bySysctl(input), ...byRule(input)];

function bySysctl(input: CheckInput): CheckFinding[] {
	const { configuration } = input;
	if (
		!configuration.services.some(({ vip, selection }) => vip.family === "ipv4" && selection !== undefined)
	) {
		return [];
	}
	const ways = waysBack(input, "ipv4");
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
}

/** Rules of firewalls do the same, for IPv6 too (firewalld: IPv6_rpfilter). */
function byRule(input: CheckInput): CheckFinding[] {
	const { configuration, facts } = input;
	return facts.reversePathFilters.flatMap(({ place, family }): CheckFinding[] => {
		const hit = (["ipv4", "ipv6"] as const).filter(
			(one) =>
				(family ?? one) === one &&
				configuration.services.some(({ vip, selection }) => vip.family === one && selection !== undefined),
		);
		const names = realInterfaces(input)
			.filter(({ name, addresses }) =>
				hit.some(
					(one) =>
						!waysBack(input, one).includes(name) &&
						addresses.some(({ address, scope }) => scope === "global" && address.family === one),
				),
			)
			.map(({ name }) => name);
		if (names.length === 0) return [];
		return [
			{
				check: "reverse-path",
				severity: "warning",
				message: `${place} drops packets that come in where their sender is not routed back, and no default route leaves by ${names.join(", ")}: packets of clients that come in there are dropped`,
				remedy: "take that rule away, or exempt the interface (firewalld: IPv6_rpfilter=no or loose)",
			},
		];
	});
}

function waysBack({ facts }: CheckInput, family: Family): string[] {
	return facts.defaultRoutes.filter((route) => route.family === family).map((route) => route.interface);
}
