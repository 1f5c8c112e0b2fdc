/** Checks the routes from the director to its real servers. */
import type { Address } from "@l3dsr/packet";
import type { CheckFinding } from "../../host/checks/check.ts";
import { type DirectorCheck, type DirectorCheckInput, ownInterfaces, type RealWay } from "./input.ts";

export interface PlacedReal {
	/** `front/a1 (10.1.0.11)`. */
	readonly text: string;
	readonly address: Address;
	readonly way: RealWay;
}

/** Lists each address once, because pools can share real servers. */
function placedReals({ fleet, facts }: DirectorCheckInput): PlacedReal[] {
	const seen = new Set<string>();
	return fleet.pools.flatMap((pool) =>
		pool.reals.flatMap(({ name, addresses }) =>
			addresses.flatMap((address) => {
				const way = facts.ways.get(address.text);
				if (way === undefined || seen.has(address.text)) return [];
				seen.add(address.text);
				return [{ text: `${pool.name}/${name} (${address.text})`, address, way }];
			}),
		),
	);
}

const NAMED = 3;

/** `a, b, c and 4 more`. */
export function list(texts: readonly string[]): string {
	const rest = texts.length - NAMED;
	return `${texts.slice(0, NAMED).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

/** Real servers behind an interface without the director's program: the kernel routes their packets. */
export function realsByKernel(input: DirectorCheckInput): PlacedReal[] {
	const { vlan } = input.settings;
	const own = new Set(ownInterfaces(input).map(({ name }) => name));
	return placedReals(input).filter(({ way }) => {
		if (way.to !== "link") return false;
		if (vlan === undefined) return !own.has(way.interface);
		return way.tagged?.vlan !== vlan || !own.has(way.tagged.interface);
	});
}

export const checkRoutes: DirectorCheck = (input) => {
	const reals = placedReals(input);
	const nowhere = reals.filter(({ way }) => way.to === "nowhere");
	const local = reals.filter(({ way }) => way.to === "local");
	return [
		...(nowhere.length === 0
			? []
			: [
					{
						check: "routes",
						severity: "error" as const,
						message: `there is no route to ${list(nowhere.map(({ text }) => text))}: packets for them are passed to the kernel, which drops them`,
						remedy:
							"ip route get ADDRESS shows the kernel's answer; add a route, or correct the fleet's table",
					},
				]),
		...(local.length === 0
			? []
			: [
					{
						check: "routes",
						severity: "note" as const,
						message: `${list(local.map(({ text }) => text))} is this host itself: the kernel delivers its packets locally`,
						remedy:
							"serve the VIP here as on every real server: l3dsr up does if the pool lists this host's address",
					},
				]),
	];
};

/** A packet that does not fit goes to the kernel, and the client cannot use the ICMP error that the kernel sends. */
export const checkMtu: DirectorCheck = (input) => {
	const largest = ownInterfaces(input).toSorted((a, b) => b.mtu - a.mtu)[0];
	if (largest === undefined) return [];
	const narrow = placedReals(input).filter(({ way }) => way.to === "link" && way.mtu < largest.mtu);
	const byWay = Map.groupBy(narrow, ({ way }) => (way.to === "link" ? `${way.interface} ${way.mtu}` : ""));
	return [...byWay.values()].flatMap((reals): CheckFinding[] => {
		const [first] = reals;
		if (first?.way.to !== "link") return [];
		return [
			{
				check: "mtu",
				severity: "error",
				message: `packets of up to ${largest.mtu} bytes arrive at ${largest.name}, but the path to ${list(reals.map(({ text }) => text))} by ${first.way.interface} takes ${first.way.mtu}: larger ones are not forwarded (too-big)`,
				remedy: "raise the egress MTU to at least the ingress MTU (ip link set DEV mtu N; ip route … mtu N)",
			},
		];
	});
};
