import type { Address, Dscp, Prefix } from "@l3dsr/packet";
import type { Rule } from "../../model/rule.ts";
import type { DatapathName } from "../../rewrite/datapath.ts";

/** What both kinds of sightings have. */
interface Seen {
	/** Milliseconds since 1970, with fractions. */
	readonly timeMs: number;
	/** The interface on which it arrived; at OUTPUT and POSTROUTING, by which it leaves. */
	readonly interface: string;
	readonly client: Address;
	/** What `-p` compares with; absent if the packet does not tell. */
	readonly protocol?: number;
	/** The original ports; absent in later fragments and protocols without ports. */
	readonly ports?: { readonly client: number; readonly destination: number };
	/** Length of the IP packet. A packet that the NIC or the kernel merged (GRO) counts as one. */
	readonly bytes: number;
}

export interface Rewriting extends Seen {
	readonly by: "rule";
	readonly datapath: DatapathName;
	/** Its original destination: the real server's own address. */
	readonly real: Address;
	/** Its destination after the rewrite. */
	readonly vip: Address;
	/** Its DSCP on arrival. */
	readonly dscp: Dscp;
	/** The last rule that matched. */
	readonly rule: Rule;
}

export interface Forwarding extends Seen {
	readonly by: "director";
	/** Its original destination. */
	readonly vip: Address;
	/** Its destination after forwarding. */
	readonly real: Address;
	/** The DSCP that it was given. */
	readonly dscp: Dscp;
	/** How it left: at XDP from an interface, or by the kernel's routing. */
	readonly way: "back" | "redirect" | "kernel";
}

export type Sighting = Rewriting | Forwarding;

/** Selects packets that meet every condition given. */
export interface WatchFilter {
	readonly vip?: Address;
	/** The DSCP that arrived at a rule, or that left a director. */
	readonly dscp?: Dscp;
	readonly client?: Prefix;
	readonly interface?: string;
}

export interface WatchOptions {
	readonly filter: WatchFilter;
	/** Only the first packet of each flow. */
	readonly flows: boolean;
	/** The most packets per second that each watcher reports, at least 1. */
	readonly rate: number;
}

export type Receive = (sighting: Sighting) => void;

/** Watches one datapath, or the director. */
export interface Watcher extends Disposable {
	/** Returns the packets since the last call, if the rules have not changed since. */
	read(receive: Receive): void;
	/** The rules have changed: call refresh, then read continues. */
	readonly stale: boolean;
	/** Follows the rules, which may have changed. */
	refresh(receive: Receive): Promise<void>;
	/**
	 * Packets that met a rule (nft: that had a DSCP with rules; director: that left with a code of a VIP) and were not
	 * reported since the start: beyond the rate, or seen while the rules changed.
	 */
	readonly leftOut: bigint;
	/** Places with rules, or with a director, that are being watched. */
	readonly places: number;
	/** What cannot be watched, and why. */
	readonly notes: readonly string[];
}
