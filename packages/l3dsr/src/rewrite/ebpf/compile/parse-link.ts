/** What comes before the IP header: bounds, the DSCP's quick exit, and VLAN tags. */
import {
	ETHERNET,
	IPV4,
	IPV6,
	type Placement,
	type ProgramBuilder,
	SKB,
	type Value,
	view,
	XDP,
} from "@l3dsr/bpf";
import type { Family } from "@l3dsr/packet";
import { DSCP_COUNT } from "./dispatch.ts";
import type { Packet } from "./frame.ts";
import type { CompileTarget } from "./hook.ts";

export const ETHER_TYPE = { ipv4: 0x0800, ipv6: 0x86dd } as const;
export const HEADER_BYTES = { ipv4: IPV4.bytes, ipv6: IPV6.bytes } as const;

const VLAN_ID_MASK = 0x0fff;

/** pkt_type, uapi/linux/if_packet.h. */
const PACKET_OTHERHOST = 3;

/** A packet of any protocol. */
export interface Arrival extends Pick<Packet, "ctx" | "skb" | "data" | "end" | "pass"> {
	/** Behind a VLAN tag that the kernel has taken off. */
	readonly etherType: Value;
}

/** The start of the program: finds the packet and its protocol. */
export function emitArrival(p: ProgramBuilder, target: CompileTarget, families: readonly Family[]): Arrival {
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

/** Afterwards the packet's IP header may be read and written. */
export function emitHeaderBounds(packet: Packet): void {
	const { p, skb, data, end, family, target, pass } = packet;
	const length = target.linkHeaderBytes + HEADER_BYTES[family];
	p.comment("prove the header's bounds");
	if (skb === undefined) {
		p.prove(data, length, end, pass);
		return;
	}
	p.unlessProven(data, length, end, () => {
		p.comment("header not in linear memory: have the kernel pull it in, if the packet has so much");
		{
			using failed = p.call("bpf_skb_pull_data", [skb, length], "failed");
			p.gotoIf(failed, "!=", 0, pass);
		}
		findAgain(packet);
	});
}

/** Packet and end, read once more, and no more proven than the header. */
export function findAgain({ p, ctx, data, end, family, target, pass }: Packet): void {
	p.load(ctx.data, { into: data });
	p.load(ctx.data_end, { into: end });
	p.prove(data, target.linkHeaderBytes + HEADER_BYTES[family], end, pass);
}

/** Leaves when no rule can match this DSCP: four instructions for the traffic that is none of ours. Gives the DSCP. */
export function emitDscpFilter(packet: Packet, dscps: readonly number[]): Value {
	const { p, family, pass } = packet;
	p.comment("load the DSCP");
	let dscp: Value;
	// Kept out of r2 and r5, which the straight line wants for the arguments of the checksum helper.
	if (family === "ipv4") dscp = loadDscp(packet, 3);
	else {
		dscp = firstBits(packet, 10, "dscp", 3).sub(6 * DSCP_COUNT);
		p.comment("version 6, or no IPv6");
		p.gotoIf(dscp, ">=", DSCP_COUNT, pass);
	}
	p.comment("no rule for this DSCP: leave the packet alone");
	p.gotoUnlessMember(dscp, dscps, pass);
	return dscp;
}

/** The DSCP, 0–63, of a header whose version has been checked. */
export function loadDscp(packet: Packet, placement: Placement = "scratch"): Value {
	const { p, data, family, target } = packet;
	if (family === "ipv6") return firstBits(packet, 10, "dscp", placement).and(DSCP_COUNT - 1);
	return p.load(view(data, IPV4, target.linkHeaderBytes).tos, { name: "dscp", in: placement }).rsh(2);
}

/** TOS or Traffic Class byte, as it arrived. */
export function loadTos(packet: Packet): Value {
	const { p, data, family, target } = packet;
	if (family === "ipv6") return firstBits(packet, 12, "tos", "scratch").and(0xff);
	return p.load(view(data, IPV4, target.linkHeaderBytes).tos, { name: "tos" });
}

/** Of an IPv6 header: version 4 bits, Traffic Class 8, Flow Label 20. */
function firstBits({ p, data, target }: Packet, bits: number, name: string, placement: Placement): Value {
	const first = p.load(view(data, IPV6, target.linkHeaderBytes).versionClassFlow, { name, in: placement });
	return first.toHost().rsh(32 - bits);
}

/**
 * Only what netfilter would see as coming in here. A tagged frame belongs to a VLAN device, and a rule with
 * `-i eth0` is not for it; VLAN 0 is only a priority. At XDP a tag that the card has not taken off hides the
 * ethertype, so nothing is to be done; a frame for another host comes that far only in promiscuous mode.
 */
export function emitFrameFilter({ p, skb, pass }: Packet): void {
	if (skb === undefined) return;
	p.comment("a frame for another host goes through a bridge, or to a sniffer, and never up to IP");
	p.gotoIf(skb.pkt_type, "==", PACKET_OTHERHOST, pass);
	p.comment("a frame of another VLAN is not from this interface");
	// Before Linux 6.2 the number stays when a VLAN device has taken the tag off.
	p.unlikely(skb.vlan_tci, "&", VLAN_ID_MASK, () => p.gotoIf(skb.vlan_present, "!=", 0, pass));
}
