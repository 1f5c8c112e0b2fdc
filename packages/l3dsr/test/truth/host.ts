/** Random hosts: a director, a real server and its clients, with and without faults. */
import fc from "fast-check";

/** The server's interface for some traffic. */
export type Card = "eth0" | "eth1";
export const CARDS: readonly Card[] = ["eth0", "eth1"];

/**
 * A host with two interfaces, and two services with one code: 192.0.2.10 or 10.1.0.100, and 2001:db8:a::10.
 */
export interface Host {
	readonly datapath: "auto" | "ebpf" | "nft";
	readonly table: "raw" | "mangle";
	/** The services select everything, or port 8000, or port 8000 of TCP and UDP by name. */
	readonly ports: "all" | "port" | "protocols";
	/** The IPv4 VIP is in the subnet of eth0. */
	readonly onSegment: boolean;
	/**
	 * Where the VIPs are before up: nowhere, or on an interface (`other`: one without a link); `wide`: on lo
	 * with the prefix of a network.
	 */
	readonly vips: "up" | "lo" | "wide" | "other" | "eth0";
	readonly defaultRoute: "eth0" | "eth1" | "metrics" | "halves" | "none";
	/** The route to 172.20.0.0/16. */
	readonly network: "none" | Card | "blackhole";
	/** A policy rule for packets from the IPv4 VIP, or for marked ones. */
	readonly policy: "none" | Card | "blackhole" | "mark";
	readonly rpFilter: Readonly<Record<"all" | Card, 0 | 1 | 2>>;
	readonly arpIgnore: 0 | 1;
	readonly firewall:
		| "none"
		| "drop"
		| "drop-answers"
		| "invalid"
		| "fib-strict"
		| "fib-loose"
		| "remark"
		| "redirect"
		| "legacy-drop"
		| "legacy-rpfilter";
	readonly tcp: Listening;
	readonly udp: Listening;
	/** A change after up. */
	readonly change: "none" | "flush" | "address" | "guard" | "bounce" | "lo-down";
	readonly reflectTos: boolean;
}

/**
 * Listening sockets: on the VIPs; on all addresses, with a socket for each family, with one for both, or for
 * IPv6 only; on the real addresses; on all at another port; none.
 */
export type Listening = "vips" | "any" | "both" | "ipv6" | "real" | "other" | "none";

/** A host without faults. */
export const FIT: Host = {
	datapath: "auto",
	table: "raw",
	ports: "protocols",
	onSegment: false,
	vips: "up",
	defaultRoute: "eth0",
	network: "none",
	policy: "none",
	rpFilter: { all: 0, eth0: 0, eth1: 0 },
	arpIgnore: 0,
	firewall: "none",
	tcp: "vips",
	udp: "vips",
	change: "none",
	reflectTos: false,
};

/** Mostly the value of `FIT`: if everything is wrong on a host, one fault hides the others. */
function mostly<Value>(usual: Value, weight: number, ...others: readonly Value[]): fc.Arbitrary<Value> {
	return fc.oneof(
		{ arbitrary: fc.constant(usual), weight },
		{ arbitrary: fc.constantFrom(...others), weight: 10 - weight },
	);
}

const arbitraryListening = mostly<Listening>("vips", 5, "any", "both", "ipv6", "real", "other", "none");
const arbitraryFilter = mostly<0 | 1 | 2>(0, 6, 1, 2);

export const arbitraryHost: fc.Arbitrary<Host> = fc.record<Host>({
	datapath: fc.constantFrom("auto", "ebpf", "nft"),
	table: mostly<Host["table"]>("raw", 7, "mangle"),
	ports: fc.constantFrom("all", "port", "protocols", "protocols"),
	onSegment: mostly(false, 7, true),
	vips: mostly<Host["vips"]>("up", 6, "lo", "wide", "other", "eth0"),
	defaultRoute: fc.constantFrom("eth0", "eth0", "eth1", "metrics", "halves", "none"),
	network: mostly<Host["network"]>("none", 4, "eth0", "eth1", "blackhole"),
	policy: mostly<Host["policy"]>("none", 5, "eth0", "eth1", "blackhole", "mark"),
	rpFilter: fc.record({ all: arbitraryFilter, eth0: arbitraryFilter, eth1: arbitraryFilter }),
	arpIgnore: mostly<0 | 1>(0, 7, 1),
	firewall: mostly<Host["firewall"]>(
		"none",
		5,
		...(["drop", "drop-answers", "invalid", "fib-strict", "fib-loose", "remark"] as const),
		...(["redirect", "legacy-drop", "legacy-rpfilter"] as const),
	),
	tcp: arbitraryListening,
	udp: arbitraryListening,
	change: mostly<Host["change"]>("none", 6, "flush", "address", "guard", "bounce", "lo-down"),
	reflectTos: mostly(false, 8, true),
});

/** The host of a seed. */
export function hostOf(seed: number): Host {
	const [host] = fc.sample(arbitraryHost, { seed, numRuns: 1 });
	if (host === undefined) throw new RangeError(`no host of seed ${seed}`);
	return host;
}
