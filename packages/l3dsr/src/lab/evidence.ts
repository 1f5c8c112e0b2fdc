/** What a run of the lab has seen, as plain data: claims.ts judges it, and `l3dsr lab --json` prints it. */
import type { Family } from "@l3dsr/packet";
import type { DatapathName } from "../rewrite/datapath.ts";
import type { DirectorName, RealServer } from "./layout.ts";

/** One station of a packet on its way. */
export interface Station {
	readonly host: string;
	/** `in eth0`; on a host that only forwards, `client → director-in`; `service` for what a program saw. */
	readonly at: string;
	readonly source: string;
	readonly destination: string;
	/** Undefined where only addresses are known: a service does not see the DSCP. */
	readonly dscp?: number;
}

/** The first packet of a connection on its way there, and the first of the answer on its way back. */
export interface Journey {
	readonly family: Family;
	readonly vip: string;
	/** Why there was no answer; undefined when there was. */
	readonly failure?: string;
	readonly server?: RealServer;
	readonly request: readonly Station[];
	readonly answer: readonly Station[];
}

/** What came of a number of questions of one kind. */
export interface Tally {
	readonly asked: number;
	readonly answered: number;
	/** Answered from the address that was asked. */
	readonly fromVip: number;
	/** Answered with what was expected, byte for byte. */
	readonly intact: number;
	/** Bytes of the answers' contents. */
	readonly bytes: number;
	/** How many of the answers each real server gave; ping does not tell. */
	readonly servers: Readonly<Record<RealServer, number>>;
	/** Why the first that failed did. */
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
	/** Addressed to the VIP, as they came to the director. */
	readonly directorIn: Volume;
	/** Addressed to a real server with the VIP's DSCP, as they left the director. */
	readonly directorOut: Volume;
	/** The same, as the router sent them to the real servers: XDP there rewrites before a capture can look. */
	readonly toRealServers: Volume;
	/** From the VIP, as they came to the client. */
	readonly answers: Volume;
	/** Fragments among `directorOut`. */
	readonly fragments: number;
}

/** Everything that was neither a request to a VIP nor one on its way to a real server. */
export interface DirectorStrays {
	/** From a VIP, or from a real server. */
	readonly answers: Volume;
	readonly others: Volume;
}

/** Whether an address answers, HTTP and UDP, and as whom. */
export interface Reach {
	readonly address: string;
	/** Answered from the address that was asked. */
	readonly http: boolean;
	readonly udp: boolean;
	/** Source of the answer to the datagram, if there was one. */
	readonly udpPeer?: string;
	/** Addresses at which the services were asked. */
	readonly askedAt: readonly string[];
	/** Why the first that failed did. */
	readonly failure?: string;
}

/** A question to a real server's own address, with a DSCP that no rule knows. */
export interface OtherDscp {
	readonly server: RealServer;
	/** As the packets arrived. */
	readonly dscp: readonly number[];
	/** Destinations of those packets. */
	readonly destinations: readonly string[];
	readonly reach: Reach;
}

/** What came to one director. */
export interface DirectorShare {
	readonly director: DirectorName;
	readonly requests: Volume;
}

export interface LabEvidence {
	/** The datapath that the real servers were to use. */
	readonly datapath: DatapathName | "auto";
	/** Those that their rules run on, as `l3dsr show` on each says. */
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
