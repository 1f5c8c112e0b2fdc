/** What a run of the lab has seen, as plain data: claims.ts judges it, and `l3dsr lab --json` prints it. */
import type { Family } from "@l3dsr/packet";
import type { DatapathName } from "../rewrite/datapath.ts";
import type { DirectorName, RealServer } from "./layout.ts";

/** One place where a packet was seen. */
export interface Station {
	readonly host: string;
	/** `in eth0`; on a host that only forwards, `client → director-in`; `service` for what the server program saw. */
	readonly at: string;
	readonly source: string;
	readonly destination: string;
	/** Undefined if only addresses are known: a service does not see the DSCP. */
	readonly dscp?: number;
}

/** Where a connection's first packet was seen, and the first packet of its answer. */
export interface Journey {
	readonly family: Family;
	readonly vip: string;
	/** Why there was no answer; undefined if there was one. */
	readonly failure?: string;
	readonly server?: RealServer;
	readonly request: readonly Station[];
	readonly answer: readonly Station[];
}

/** The results of several requests of one kind. */
export interface Tally {
	readonly asked: number;
	readonly answered: number;
	/** Answered from the requested address. */
	readonly fromVip: number;
	/** Answered with the expected content, byte for byte. */
	readonly intact: number;
	/** Total bytes of content in the answers. */
	readonly bytes: number;
	/** Answers by real server; empty for ping, which does not show the server. */
	readonly servers: Readonly<Record<RealServer, number>>;
	/** Why the first failed request failed. */
	readonly failure?: string;
}

export const TRAFFIC_KINDS = ["http", "download", "udp", "fragmented", "ping"] as const;
export type TrafficKind = (typeof TRAFFIC_KINDS)[number];

export interface Volume {
	readonly packets: number;
	readonly bytes: number;
}

export interface VipTraffic {
	readonly vip: string;
	readonly family: Family;
	readonly dscp: number;
	readonly tallies: Readonly<Record<TrafficKind, Tally>>;
	/** Packets to the VIP, as they reached the director. */
	readonly directorIn: Volume;
	/** Packets to a real server with the VIP's DSCP, as they left the director. */
	readonly directorOut: Volume;
	/**
	 * The same packets, as the router sent them to the real servers, because XDP there rewrites before a capture sees
	 * them.
	 */
	readonly toRealServers: Volume;
	/** Packets from the VIP, as they reached the client. */
	readonly answers: Volume;
	/** Fragments in `directorOut`. */
	readonly fragments: number;
}

/** Packets at the director that were neither requests to a VIP nor requests on their way to a real server. */
export interface DirectorStrays {
	/** From a VIP or from a real server. */
	readonly answers: Volume;
	readonly others: Volume;
}

/** Whether HTTP and UDP answer at an address, and from which address. */
export interface Reach {
	readonly address: string;
	/** Answered from the requested address. */
	readonly http: boolean;
	readonly udp: boolean;
	/** Source of the answer to the datagram, if there was one. */
	readonly udpPeer?: string;
	/** Addresses at which the services received the requests. */
	readonly askedAt: readonly string[];
	/** Why the first failed request failed. */
	readonly failure?: string;
}

/** A request to a real server's own address, with a DSCP that no rule knows. */
export interface OtherDscp {
	readonly server: RealServer;
	/** DSCPs of the packets on arrival. */
	readonly dscp: readonly number[];
	/** Destinations of those packets. */
	readonly destinations: readonly string[];
	readonly reach: Reach;
}

/** The share of one director. */
export interface DirectorShare {
	readonly director: DirectorName;
	readonly requests: Volume;
}

export interface LabEvidence {
	/** The datapath that the real servers should use. */
	readonly datapath: DatapathName | "auto";
	/** The datapaths that their rules run on, according to `l3dsr show` on each. */
	readonly datapathsInForce: readonly string[];
	readonly journeys: readonly Journey[];
	readonly traffic: readonly VipTraffic[];
	readonly strays: DirectorStrays;
	readonly shares: readonly DirectorShare[];
	readonly otherDscp: readonly OtherDscp[];
	readonly withoutRules: readonly Reach[];
	readonly rulesAgain: readonly Reach[];
	/** Frames that the captures missed. */
	readonly dropped: number;
}

export function volumeOf(packets: Iterable<{ readonly lengthBytes: number }>): Volume {
	let count = 0;
	let bytes = 0;
	for (const { lengthBytes } of packets) {
		count++;
		bytes += lengthBytes;
	}
	return { packets: count, bytes };
}
