import type { Address, Dscp, Prefix } from "@l3dsr/packet";
import type { Rule } from "../../model/rule.ts";
import type { DatapathName } from "../../rewrite/datapath.ts";

/** What there is to tell of either. */
interface Seen {
	/** Milliseconds since 1970, with fractions. */
	readonly timeMs: number;
	/** The interface on which it arrived; at OUTPUT and POSTROUTING, by which it leaves. */
	readonly interface: string;
	readonly client: Address;
	/** What `-p` compares with; absent if the packet does not tell. */
	readonly protocol?: number;
	/** As they arrived; absent in later fragments and protocols without ports. */
	readonly ports?: { readonly client: number; readonly destination: number };
	/** Of the IP packet. A packet merged from many by the card or the kernel (GRO) counts as one. */
	readonly bytes: number;
}

export interface Rewriting extends Seen {
	readonly by: "rule";
	readonly datapath: DatapathName;
	/** Its original destination: the real server's own address. */
	readonly real: Address;
	/** The destination that it got. */
	readonly vip: Address;
	/** As it arrived. */
	readonly dscp: Dscp;
	/** The last rule that matched. */
	readonly rule: Rule;
}

export interface Forwarding extends Seen {
	readonly by: "director";
	/** The destination that it came with. */
	readonly vip: Address;
	/** The destination that it got. */
	readonly real: Address;
	/** That it got. */
	readonly dscp: Dscp;
	/** How it left: at XDP out of an interface, or by the kernel's routing. */
	readonly way: "back" | "redirect" | "kernel";
}

export type Sighting = Rewriting | Forwarding;

/** Selects packets that meet every condition given. */
export interface WatchFilter {
	readonly vip?: Address;
	/** As it came to a rule, and as it left a director. */
	readonly dscp?: Dscp;
	readonly client?: Prefix;
	readonly interface?: string;
}

export interface WatchOptions {
	readonly filter: WatchFilter;
	/** Only the first packet of each flow. */
	readonly flows: boolean;
	/** Packets per second that each watcher may tell, at least 1. */
	readonly rate: number;
}

export type Receive = (sighting: Sighting) => void;

/** The eyes on one datapath, or on the director. */
export interface Watcher extends Disposable {
	/** Returns the packets since the last call, if the rules have not changed since. */
	read(receive: Receive): void;
	/** The rules have changed: call refresh, then read continues. */
	readonly stale: boolean;
	/** Follows the rules, which may have changed. */
	refresh(receive: Receive): Promise<void>;
	/**
	 * Packets that met a rule (nft: that had a DSCP with rules; director: that left with a code of a VIP) and were not
	 * told, since the beginning: more than the rate allows, or seen while the rules changed.
	 */
	readonly leftOut: bigint;
	/** Places with rules, or with a director, that are being watched. */
	readonly places: number;
	/** What cannot be watched, and why. */
	readonly notes: readonly string[];
}
