/**
 * A packet's way through the rules of a host, told by the oracle: from hook to hook, as the kernel runs them.
 * Pure.
 *
 * tc ingress or XDP → raw PREROUTING → mangle PREROUTING → routing → mangle INPUT for what is this host's,
 * FORWARD and POSTROUTING for the rest. OUTPUT is not on the way of a packet that arrives.
 */
import { type Address, addressFromBytes, prefixContains } from "../../model/address.ts";
import type { Chain, Rule, Table } from "../../model/rule.ts";
import type { DatapathName } from "../datapath.ts";
import {
	type Malformed,
	type PacketContext,
	type ParsedPacket,
	parsePacket,
	rewriteByRules,
	type Unreadable,
} from "../reference.ts";

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
	/** The packet as it comes there; undefined rules' outcomes of a packet that does not. */
	readonly before: Uint8Array;
	readonly after: Uint8Array;
	/** Indexes of the rules that matched, in order. */
	readonly matched: readonly number[];
}

export interface Journey {
	readonly before: Uint8Array;
	readonly after: Uint8Array;
	/** What arrived; undefined where no rule is asked, `unreadable` says why. */
	readonly packet?: ParsedPacket;
	readonly unreadable?: Unreadable;
	/** Those that the packet comes to. */
	readonly stops: readonly StopResult[];
	readonly rewritten: boolean;
	readonly malformed?: Malformed;
	/** Where it is headed in the end, and whether that is an address of this host. */
	readonly destination?: Address;
	readonly local: boolean;
}

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

/** Sends a packet (from its network header) along the stops. Never throws. */
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
	for (const stop of stops) {
		if (stop.when !== "arriving") {
			// Routing is decided once, between PREROUTING and the rest.
			routed ??= isLocal();
			if ((stop.when === "local") !== routed) continue;
		}
		const result = rewriteByRules(bytes, stop.rules, context);
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
		after: bytes,
		packet: arrived,
		stops: results,
		rewritten: results.some(({ matched }) => matched.length > 0),
		...(malformed === undefined ? {} : { malformed }),
		destination,
		local: routed ?? isLocal(),
	};
}
