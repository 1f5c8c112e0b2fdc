/** The kernel's route to an address. */
import { type IfIndex, lookUpRoute, type Netlink, type Route, SyscallError } from "@l3dsr/linux";
import type { Address } from "@l3dsr/packet";

export type Way =
	| {
			readonly to: "link";
			readonly index: IfIndex;
			/** The router, or the address itself if it is on the link. */
			readonly gateway: Uint8Array;
			/** MTU of the route, if it has one. */
			readonly mtu?: number;
	  }
	/** This host itself. */
	| { readonly to: "local" }
	/** There is no route, or a route that refuses. */
	| { readonly to: "nowhere" };

/** Throws netlink errors, unless they are an answer. */
export function wayTo(address: Address, netlink: Netlink): Way {
	let route: Route;
	try {
		route = lookUpRoute({ destination: address.bytes }, netlink);
	} catch (error) {
		// ENETUNREACH, EHOSTUNREACH, EACCES (prohibit), EINVAL (blackhole): these are answers.
		if (error instanceof SyscallError) return { to: "nowhere" };
		throw error;
	}
	if (route.type === "local") return { to: "local" };
	const [hop] = route.nextHops;
	if (route.type !== "unicast" || hop?.index === undefined) return { to: "nowhere" };
	const gateway = hop.gateway ?? Uint8Array.from(address.bytes);
	return { to: "link", index: hop.index, gateway, ...(route.mtu === undefined ? {} : { mtu: route.mtu }) };
}
