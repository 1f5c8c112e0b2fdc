/** What precedes the IP header: the ethertype, and whose frame it is. */
import { ETHERNET, type ProgramBuilder, SKB, type Value, view, XDP } from "@l3dsr/bpf";
import type { Family } from "@l3dsr/packet";
import { HEADER_BYTES } from "./ip-header.ts";
import type { Packet, ProgramTarget } from "./packet.ts";

/** The VLAN number in a tag's control information. */
const VLAN_ID_MASK = 0x0fff;

/** skb->pkt_type, uapi/linux/if_packet.h. */
export const PACKET_TYPE = { host: 0, otherHost: 3 } as const;

/** A packet of any protocol. */
export interface Arrival extends Pick<Packet, "ctx" | "skb" | "data" | "end" | "pass"> {
	/** The ethertype; after a VLAN tag that the kernel has removed. */
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
	// Anything shorter than the shortest header is not ours.
	const shortest = families.map((family) => HEADER_BYTES[family]).sort((a, b) => a - b)[0] ?? 0;
	p.prove(data, ETHERNET.bytes + shortest, end, pass);
	return { ctx, skb, data, end, pass, etherType: p.load(view(data, ETHERNET).type) };
}

/**
 * Keeps only frames that netfilter would see as received on this interface. A tagged frame belongs to a VLAN device,
 * and a rule with `-i eth0` does not apply to it; VLAN 0 only sets a priority. At XDP nothing needs to be done: a tag
 * that the NIC has not removed hides the ethertype, and a frame for another host only gets there in promiscuous mode.
 */
export function emitFrameFilter({ p, skb, pass }: Packet): void {
	if (skb === undefined) return;
	p.comment("a frame for another host goes through a bridge, or to a sniffer, and never up to IP");
	p.gotoIf(skb.pkt_type, "==", PACKET_TYPE.otherHost, pass);
	p.comment("a frame of another VLAN is not from this interface");
	// Before Linux 6.2, the number stays after a VLAN device has removed the tag.
	p.unlikely(skb.vlan_tci, "&", VLAN_ID_MASK, () => p.gotoIf(skb.vlan_present, "!=", 0, pass));
}
