/** Reverse path filtering drops a packet that arrived on an interface through which its sender is not routed. */
import { TABLE_PRIORITY } from "../../model/rule.ts";
import type { PathFacts } from "../route-facts.ts";
import { type Check, type CheckFinding, type CheckInput, clientsText } from "./check.ts";

const STRICT = 1;
const FAMILIES = ["ipv4", "ipv6"] as const;

export const checkReversePath: Check = (input) => [...bySysctl(input), ...byRule(input)];

/** According to the kernel: it refuses the packet, and the route back says why. */
function bySysctl({ configuration, facts }: CheckInput): CheckFinding[] {
	const paths = facts.routes.paths.filter(({ client }) => client.address.family === "ipv4");
	return facts.interfaces.flatMap(({ name, rpFilter }): CheckFinding[] => {
		const ofInterface = paths.filter(({ arrivals }) => arrivals.some((one) => one.interface === name));
		if (rpFilter === 0) return [];
		const dropped = ofInterface.filter(
			(path) => !isTaken(path, name) && isFiltered(path.wayBack, name, rpFilter === STRICT),
		);
		const far = dropped.filter(({ client }) => client.reach !== "link");
		if (dropped.length === 0) return [];
		// Connected subnets come last: they matter least.
		const told = [...far, ...dropped.filter((path) => !far.includes(path))];
		const named = configuration.interfaces?.some((one) => !one.wildcard && one.name === name) === true;
		const others = paths.some(
			(path) =>
				path.client.reach === "internet" && path.arrivals.some((one) => one.interface !== name && one.taken),
		);
		const all = ofInterface.every((path) => path.client.reach === "link" || dropped.includes(path));
		const severity =
			far.length === 0
				? "note"
				: all && (named || !others || facts.reversePathDrops > 0)
					? "error"
					: "warning";
		const so =
			facts.reversePathDrops === 0 ? "" : `, which has dropped ${facts.reversePathDrops} packets so far`;
		const ways = [...new Set(told.flatMap(({ wayBack }) => wayBack))];
		// For packets that NAT redirects, the kernel looks up the new address.
		const unless = facts.redirects.length === 0 ? "" : ", unless a NAT rule redirects them";
		const back =
			ways.length === 0 ? "no route leads back to them" : `answers to them leave by ${ways.join(", ")}`;
		return [
			{
				check: "reverse-path",
				severity: ways.length === 0 && severity === "error" ? "warning" : severity,
				message: `packets from ${clientsText(told)} that arrive on ${name} are dropped by reverse path filtering (rp_filter ${rpFilter}${so}): ${back}${unless}`,
				remedy:
					ways.length === 0
						? "add a route to the clients: without one they do not get answers either"
						: `sysctl -w net.ipv4.conf.${name}.rp_filter=2 (loose)${severity === "error" ? "" : "; ignore this if no director sends them here"}`,
			},
		];
	});
}

function isTaken({ arrivals }: PathFacts, name: string): boolean {
	return arrivals.some((one) => one.interface === name && one.taken);
}

function isFiltered(wayBack: readonly string[], name: string, strict: boolean): boolean {
	return wayBack.length === 0 || (strict && !wayBack.includes(name));
}

/** Firewall rules do the same, also for IPv6 (firewalld: IPv6_rpfilter). Their other conditions are not evaluated. */
function byRule({ configuration, inNetfilter, facts }: CheckInput): CheckFinding[] {
	const rules = facts.reversePathFilters.flatMap((rule) =>
		(rule.family === undefined ? FAMILIES : [rule.family]).map((family) => ({ ...rule, family })),
	);
	return rules.flatMap(({ place, hook, priority, family, strict }): CheckFinding[] => {
		// The look-up for the sender starts from the packet's destination: there, still the real address. Of chains with
		// equal priority the kernel runs the newest first, so a firewall's chain comes before ours after each reload.
		const isBefore =
			inNetfilter.has(family) && (hook === "ingress" || priority <= TABLE_PRIORITY[configuration.table]);
		const paths = facts.routes.paths.filter(({ client }) => client.address.family === family);
		const names = [...new Set(paths.flatMap(({ arrivals }) => arrivals.map((one) => one.interface)))];
		return names.flatMap((name): CheckFinding[] => {
			const met = paths.filter(({ arrivals, wayBack }) => {
				const arrival = arrivals.find((one) => one.interface === name);
				if (arrival === undefined) return false;
				return isFiltered((isBefore ? arrival.wayBackFromReal : undefined) ?? wayBack, name, strict);
			});
			const far = met.filter(({ client }) => client.reach !== "link");
			if (met.length === 0) return [];
			return [
				{
					check: "reverse-path",
					severity: far.length === 0 ? "note" : "warning",
					message: `${place} drops packets whose sender is not routed back${strict ? " through the interface on which they arrived" : ""}: those from ${clientsText([...far, ...met.filter((path) => !far.includes(path))])} that arrive on ${name}, unless other conditions of the rule leave them out`,
					remedy: `remove that rule, or exempt ${name} (firewalld: IPv6_rpfilter=no or loose)`,
				},
			];
		});
	});
}
