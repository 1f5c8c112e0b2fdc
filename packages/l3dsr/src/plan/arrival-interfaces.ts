/** Where packets from directors arrive: which interfaces the rules of services name. Pure. */
import type { Address } from "@l3dsr/packet";
import type { Configuration } from "../model/configuration.ts";
import { type InterfaceName, isNameForRules } from "../model/interface-name.ts";

/** An interface and what it holds. */
export interface RealInterface {
	readonly name: string;
	readonly up: boolean;
	/** Of a virtual device: `bridge`, `veth`. */
	readonly kind?: string;
	/** It belongs to a bridge or a bond, where its packets arrive. */
	readonly port?: true;
	/** The interface below it. */
	readonly linked?: string;
	readonly addresses: readonly { readonly address: Address; readonly scope: string }[];
}

export interface Arrival {
	/** Those that the configuration names, else every one that may bring packets now. */
	readonly interfaces: readonly InterfaceName[];
	/**
	 * One that may bring packets, has no address of the host, and comes and goes with a container or a tunnel. Rules that
	 * name interfaces would never be complete.
	 */
	readonly passing?: string;
}

/** Devices that hand no packets of others to the host. */
const SINKS = new Set(["dummy", "ifb", "nlmon", "vrf"]);
/** Devices that containers, virtual machines and daemons make for themselves. */
const PASSING = new Set(["veth", "tun"]);
/** Devices that take packets out of those that arrive at the interface below them. */
const ON_TOP = new Set(["vlan", "macvlan", "macvtap", "ipvlan"]);

/**
 * Linux takes packets for any of its addresses on any interface: one without an address may bring them too, to an address
 * on `lo` or on another interface. Left out are those that cannot (ports of a bridge or bond, the second end of a veth), and those that nobody
 * routes to a host by: bridges without an address, and what lies below a VLAN that has one. An interface whose name no rule
 * can hold does not stop the others; `check` says so.
 *
 * `vips` are addresses that say nothing of the host. `served` has rules already: beside them, a bridge that came later is
 * a container network until it is the only one left.
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

/** A veth whose other end is in this namespace too brings nothing but what this host sends. */
function isOwnEnd({ kind, linked }: RealInterface): boolean {
	return kind === "veth" && linked !== undefined;
}

/** An address that a director can send to: not one of the loopback, and not link-local. */
function isReachable({ address: { family, bytes }, scope }: RealInterface["addresses"][number]): boolean {
	if (scope === "host") return false;
	const [first, second = 0] = bytes;
	return family === "ipv4"
		? !(first === 169 && second === 254)
		: !(first === 0xfe && (second & 0xc0) === 0x80);
}
