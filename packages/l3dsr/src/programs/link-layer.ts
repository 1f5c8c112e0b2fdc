/** What comes before the IP header: the protocol, and whose frame it is. */
import { ETHERNET, type ProgramBuilder, SKB, type Value, view, XDP } from "@l3dsr/bpf";
import type { Family } from "@l3dsr/packet";
import { HEADER_BYTES } from "./ip-header.ts";
import type { Packet, ProgramTarget } from "./packet.ts";

/** Of a tag's control information. */
export const VLAN_ID_MASK = 0x0fff;

/** skb->pkt_type, uapi/linux/if_packet.h. */
export const PACKET_TYPE = { host: 0, otherHost: 3 } as const;

/** A packet of any protocol. */
export interface Arrival extends Pick<Packet, "ctx" | "skb" | "data" | "end" | "pass"> {
	/** Behind a VLAN tag that the kernel has taken off. */
	readonly etherType: Value;
}

/** The start of the program: finds the packet and its protocol. */
export function emitArrival(p: ProgramBuilder, target: ProgramTarget, families: readonly Family[]): Arrival {
	const pass = p.label("pass");
	const skb = target.hook === "tc" ? p.context(SKB) : undefined;
	const ctx = skb ?? p.context(XDP);
	p.comment("keep the context, find the packet");
	p.keep(ctx);
	const data = p.load(ctx.data, { name: "data", in: "kept" });
	const end = p.load(ctx.data_end, { name: "end" });
	p.comment("read the protocol");
	if (skb !== undefined) return { ctx, skb, data, end, pass, etherType: p.load(skb.protocol) };
	// Whatever is shorter than the shortest header is none of ours.
	const shortest = families.map((family) => HEADER_BYTES[family]).sort((a, b) => a - b)[0] ?? 0;
	p.prove(data, ETHERNET.bytes + shortest, end, pass);
	return { ctx, skb, data, end, pass, etherType: p.load(view(data, ETHERNET).type) };
}

/**
 * Only what netfilter would see as coming in here. A tagged frame belongs to a VLAN device, and a rule with
 * `-i eth0` is not for it; VLAN 0 is only a priority. At XDP a tag that the card has not taken off hides the
 * ethertype, so nothing is to be done; a frame for another host comes that far only in promiscuous mode.
 */
export function emitFrameFilter({ p, skb, pass }: Packet): void {
	if (skb === undefined) return;
	p.comment("a frame for another host goes through a bridge, or to a sniffer, and never up to IP");
	p.gotoIf(skb.pkt_type, "==", PACKET_TYPE.otherHost, pass);
	p.comment("a frame of another VLAN is not from this interface");
	// Before Linux 6.2 the number stays when a VLAN device has taken the tag off.
	p.unlikely(skb.vlan_tci, "&", VLAN_ID_MASK, () => p.gotoIf(skb.vlan_present, "!=", 0, pass));
}
