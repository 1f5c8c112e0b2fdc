/** Chooses the interfaces that the rules of services name: those where packets from directors arrive. Pure. */
import type { Address } from "@l3dsr/packet";
import type { Configuration } from "../model/configuration.ts";
import { type InterfaceName, isNameForRules } from "../model/interface-name.ts";

/** An interface and its addresses. */
export interface RealInterface {
	readonly name: string;
	readonly up: boolean;
	/** Type of a virtual device: `bridge`, `veth`. */
	readonly kind?: string;
	/** It belongs to a bridge or bond, which receives its packets. */
	readonly port?: true;
	/** The interface below it. */
	readonly linked?: string;
	readonly addresses: readonly { readonly address: Address; readonly scope: string }[];
}

export interface Arrival {
	/** The interfaces that the configuration names, or else every one that may receive packets now. */
	readonly interfaces: readonly InterfaceName[];
	/**
	 * An interface that may receive packets, has no address, and comes and goes with a container or tunnel. If there is
	 * one, rules that name interfaces would never be complete.
	 */
	readonly passing?: string;
}

/** Devices that deliver no packets from other hosts. */
const SINKS = new Set(["dummy", "ifb", "nlmon", "vrf"]);
/** Devices that containers, virtual machines and daemons create for themselves. */
const PASSING = new Set(["veth", "tun"]);
/** Devices that take some of the packets that arrive at the interface below them. */
const ON_TOP = new Set(["vlan", "macvlan", "macvtap", "ipvlan"]);

/**
 * Linux accepts packets for any of its addresses on any interface, so an interface without an address may receive
 * them too, for an address on `lo` or another interface. Left out are interfaces that cannot (ports of a bridge or
 * bond, the second end of a veth), and those that nobody routes through: bridges without an address, and interfaces
 * below a VLAN that has one. An interface whose name no rule can hold does not stop the others; `check` reports it.
 *
 * `vips`: addresses to ignore. `served`: interfaces that already have rules; a bridge that was added later counts as
 * a container network, unless no other interface is left.
 */
export function arrivalInterfaces(
	{ interfaces }: Pick<Configuration, "interfaces">,
	present: readonly RealInterface[],
	{ vips, served }: { readonly vips: ReadonlySet<string>; readonly served: ReadonlySet<string> },
): Arrival {
	if (interfaces !== undefined) return { interfaces };
	const isNumbered = ({ addresses }: RealInterface): boolean =>
		addresses.some((one) => !vips.has(one.address.text) && isReachable(one));
	const below = new Set(
		present.flatMap((one) =>
			one.linked !== undefined && ON_TOP.has(one.kind ?? "") && isNumbered(one) ? [one.linked] : [],
		),
	);
	const possible = present.filter(
		(one) =>
			one.name !== "lo" &&
			one.up &&
			one.port !== true &&
			!SINKS.has(one.kind ?? "") &&
			isNameForRules(one.name) &&
			(isNumbered(one) || (one.kind !== "bridge" && !below.has(one.name) && !isOwnEnd(one))),
	);
	const settled = possible.some(({ name }) => served.has(name));
	const used = possible.filter(({ name, kind }) => !settled || kind !== "bridge" || served.has(name));
	const passing =
		used.length === 1 ? undefined : used.find((one) => PASSING.has(one.kind ?? "") && !isNumbered(one))?.name;
	return {
		interfaces: used.map(({ name }) => ({ name, wildcard: false })),
		...(passing === undefined ? {} : { passing }),
	};
}

/** If both ends of a veth are in this namespace, it only delivers what this host sends. */
function isOwnEnd({ kind, linked }: RealInterface): boolean {
	return kind === "veth" && linked !== undefined;
}

/** True for an address that a director can send to: not loopback and not link-local. */
function isReachable({ address: { family, bytes }, scope }: RealInterface["addresses"][number]): boolean {
	if (scope === "host") return false;
	const [first, second = 0] = bytes;
	return family === "ipv4"
		? !(first === 169 && second === 254)
		: !(first === 0xfe && (second & 0xc0) === 0x80);
}
