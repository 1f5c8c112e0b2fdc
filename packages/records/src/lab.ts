/** All of L3DSR on one machine: `l3dsr lab --json`. */
import * as z from "zod/mini";
import { address, described, dscp, flag, list, record, schema, text, whole } from "./value.ts";

const family = () => z.enum(["ipv4", "ipv6"]);
const volume = record({ packets: whole(), bytes: whole() });
const station = record({
	host: text(),
	at: text(),
	source: address(),
	destination: address(),
	dscp: z.optional(dscp()),
});
const tally = record({
	asked: whole(),
	answered: whole(),
	fromVip: whole(),
	intact: whole(),
	bytes: whole(),
	servers: z.record(text(), whole()),
	failure: z.optional(text()),
});
const reach = record({
	address: address(),
	http: flag(),
	udp: flag(),
	udpPeer: z.optional(text()),
	askedAt: list(text()),
	failure: z.optional(text()),
});

export const lab = record({
	schema: schema("lab"),
	lab: text(),
	kept: flag(),
	datapath: z.enum(["auto", "ebpf", "nft"]),
	hook: z.optional(text()),
	director: described(z.enum(["balance", "nft"]), "The director: l3dsr itself, or nftables."),
	namespaces: described(z.record(text(), text()), "Host of the lab → its network namespace."),
	vips: list(record({ vip: address(), dscp: dscp() })),
	rules: list(text()),
	datapathsInForce: list(text()),
	journeys: list(
		record({
			family: family(),
			vip: address(),
			failure: z.optional(text()),
			server: z.optional(text()),
			request: list(station),
			answer: list(station),
		}),
	),
	traffic: list(
		record({
			vip: address(),
			family: family(),
			dscp: dscp(),
			tallies: record({ http: tally, download: tally, udp: tally, fragmented: tally, ping: tally }),
			directorIn: volume,
			directorOut: volume,
			toRealServers: volume,
			answers: volume,
			fragments: whole(),
		}),
	),
	strays: record({ answers: volume, others: volume }),
	shares: described(
		list(record({ director: text(), requests: volume })),
		"What the router sent to each director, by equal-cost routes.",
	),
	otherDscp: list(record({ server: text(), dscp: list(dscp()), destinations: list(text()), reach })),
	withoutRules: list(reach),
	rulesAgain: list(reach),
	dropped: described(whole(), "Frames that the captures missed."),
	claims: list(record({ id: text(), claim: text(), held: flag(), evidence: text() })),
	proved: flag(),
});

export const labDown = record({
	schema: schema("lab-down"),
	lab: text(),
	processesLeft: list(whole()),
});
