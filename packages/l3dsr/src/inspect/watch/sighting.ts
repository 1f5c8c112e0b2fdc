/** One packet that a rule has rewritten, as `watch` tells it, whichever datapath saw it. */
import type { Address, Dscp, Prefix } from "@l3dsr/packet";
import type { Rule } from "../../model/rule.ts";
import type { DatapathName } from "../../rewrite/datapath.ts";

export interface Sighting {
	/** Milliseconds since 1970, with fractions. */
	readonly timeMs: number;
	readonly datapath: DatapathName;
	/** Where it arrived; at OUTPUT and POSTROUTING, where it leaves. */
	readonly interface: string;
	readonly client: Address;
	/** The destination that it came with: the real server's own. */
	readonly real: Address;
	/** The destination that it got. */
	readonly vip: Address;
	/** As it came. */
	readonly dscp: Dscp;
	/** What `-p` compares with; absent where the packet does not tell. */
	readonly protocol?: number;
	/** As they came; absent in later fragments and protocols without. */
	readonly ports?: { readonly client: number; readonly destination: number };
	/** Of the IP packet. One that the card or the kernel has put together of many (GRO) is one. */
	readonly bytes: number;
	/** The last rule that matched. */
	readonly rule: Rule;
}

/** Which packets: those that meet every condition that is present. */
export interface WatchFilter {
	readonly vip?: Address;
	readonly dscp?: Dscp;
	readonly client?: Prefix;
	readonly interface?: string;
}

export interface WatchOptions {
	readonly filter: WatchFilter;
	/** Only the first packet of each flow. */
	readonly flows: boolean;
	/** Packets per second that each datapath may tell, at least 1. */
	readonly rate: number;
}

export type Receive = (sighting: Sighting) => void;

/** One datapath's eyes. */
export interface Watcher {
	/** Tells what was seen since the last time, as long as the rules are those that it was seen with. */
	read(receive: Receive): void;
	/** The rules are others than they were: refresh, and read goes on. */
	readonly stale: boolean;
	/** Follows the rules, which may have changed. */
	refresh(receive: Receive): Promise<void>;
	/**
	 * Packets that met a rule (nft: that had a DSCP with rules) and were not told, since the beginning: more
	 * than the rate allows, or seen while the rules changed.
	 */
	readonly leftOut: bigint;
	/** Places with rules that are being watched. */
	readonly places: number;
	/** What cannot be watched, and why. */
	readonly notes: readonly string[];
}
