/**
 * A packet's path through the rules of a host, computed by the oracle: from hook to hook, as the kernel
 * runs them. Pure.
 *
 * tc ingress or XDP → raw PREROUTING → mangle PREROUTING → routing → mangle INPUT for what is this host's,
 * FORWARD and POSTROUTING for the rest. OUTPUT is not on the path of an arriving packet.
 */
import {
	type Address,
	addressFromBytes,
	type Family,
	type Malformed,
	type ParsedPacket,
	parsePacket,
	prefixContains,
	putWord,
	replaceInChecksum,
	type Unreadable,
	wordAt,
} from "@l3dsr/packet";
import type { Chain, Rule, Table } from "../../model/rule.ts";
import type { DatapathName } from "../../rewrite/datapath.ts";
import { type PacketContext, rewriteByRules } from "../../rewrite/oracle/oracle.ts";

/** Rules that run in one place, in order. */
export interface Stop {
	readonly datapath: DatapathName | "configuration";
	/** `tcx ingress of eth0`, `raw PREROUTING`. */
	readonly place: string;
	readonly when: "arriving" | "local" | "forwarded";
	readonly rules: readonly Rule[];
}

export interface StopResult {
	readonly stop: Stop;
	/** The packet as it arrives there; undefined if it does not. */
	readonly before: Uint8Array;
	readonly after: Uint8Array;
	/** Indexes of the rules that matched, in order. */
	readonly matched: readonly number[];
}

export interface Journey {
	readonly before: Uint8Array;
	readonly after: Uint8Array;
	/** What arrived; undefined if no rule sees it, and `unreadable` says why. */
	readonly packet?: ParsedPacket;
	readonly unreadable?: Unreadable;
	/** The stops that the packet reaches. */
	readonly stops: readonly StopResult[];
	readonly rewritten: boolean;
	readonly malformed?: Malformed;
	/** Its final destination, and whether that is an address of this host. */
	readonly destination?: Address;
	readonly local: boolean;
}

/** netfilter walks all IPv6 extension headers. */
const WALKS_ON = { extensionLimit: Number.POSITIVE_INFINITY } as const;

const PLACES: readonly { table: Table; chain: Chain; when: Stop["when"] }[] = [
	{ table: "raw", chain: "PREROUTING", when: "arriving" },
	{ table: "mangle", chain: "PREROUTING", when: "arriving" },
	{ table: "mangle", chain: "INPUT", when: "local" },
	{ table: "mangle", chain: "FORWARD", when: "forwarded" },
	{ table: "mangle", chain: "POSTROUTING", when: "forwarded" },
];

/** The stops of netfilter's chains; `rules` in the order in which each chain has them. */
export function chainStops(rules: readonly Rule[], datapath: Stop["datapath"]): Stop[] {
	return PLACES.flatMap(({ table, chain, when }) => {
		const own = rules.filter((rule) => rule.table === table && rule.chain === chain);
		return own.length === 0 ? [] : [{ datapath, place: `${table} ${chain}`, when, rules: own }];
	});
}

/** Passes a packet (from its network header) through the stops. Never throws. */
export function travel(input: Uint8Array, stops: readonly Stop[], context: PacketContext): Journey {
	const arrived = parsePacket(input);
	if (typeof arrived === "string") {
		return { before: input, after: input, unreadable: arrived, stops: [], rewritten: false, local: false };
	}
	let bytes = input;
	let malformed: Malformed | undefined;
	let destination = addressFromBytes(arrived.destination);
	const results: StopResult[] = [];
	const isLocal = (): boolean => context.local.some((prefix) => prefixContains(prefix, destination));
	let routed: boolean | undefined;
	let forwarded = false;
	for (const stop of stops) {
		if (stop.when !== "arriving") {
			// Routing is decided once, between PREROUTING and the rest.
			routed ??= isLocal();
			if ((stop.when === "local") !== routed) continue;
			if (!routed && !forwarded) {
				// A router first decrements the hop limit, and does not forward a packet whose limit is used up.
				if (arrived.ttl <= 1) break;
				bytes = withTtl(bytes, arrived.family, arrived.ttl - 1);
				forwarded = true;
			}
		}
		const result = rewriteByRules(bytes, stop.rules, context, stop.datapath === "nft" ? WALKS_ON : {});
		if (!result.evaluated) break;
		const matched = result.outcomes.flatMap((outcome, index) => (outcome.matched ? [index] : []));
		results.push({ stop, before: bytes, after: result.bytes, matched });
		bytes = result.bytes;
		malformed ??= result.malformed;
		const { destinationOffset } = arrived;
		const size = destination.bytes.length;
		destination = addressFromBytes(bytes.subarray(destinationOffset, destinationOffset + size));
	}
	return {
		before: input,
		// Shows only the work of the rules, not the router's.
		after: forwarded ? withTtl(bytes, arrived.family, arrived.ttl) : bytes,
		packet: arrived,
		stops: results,
		rewritten: results.some(({ matched }) => matched.length > 0),
		...(malformed === undefined ? {} : { malformed }),
		destination,
		local: routed ?? isLocal(),
	};
}

/** The packet with another TTL or hop limit; an IPv4 header checksum that was wrong stays wrong. */
function withTtl(bytes: Uint8Array, family: Family, ttl: number): Uint8Array {
	const copy = Uint8Array.from(bytes);
	if (family === "ipv6") {
		copy[7] = ttl;
		return copy;
	}
	const before = copy.slice(8, 10);
	copy[8] = ttl;
	putWord(copy, 10, replaceInChecksum(wordAt(copy, 10), before, copy.subarray(8, 10)));
	return copy;
}
