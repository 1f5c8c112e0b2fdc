/** Either IP header: its bounds, and the DSCP with its quick exit. */
import { IPV4, IPV6, type Placement, struct, type Value, view } from "@l3dsr/bpf";
import { DSCP_COUNT } from "@l3dsr/packet";
import type { Packet } from "./packet.ts";

export const HEADER_BYTES = { ipv4: IPV4.bytes, ipv6: IPV6.bytes } as const;

/**
 * The first 16 bits of either header. IPv4: version 4 bits, length 4, TOS 8; IPv6: version 4, Traffic Class 8, Flow
 * Label 4.
 */
export const START = struct("header", { start: "be16" });
/** All of these bits except the DSCP, as a number in network order. */
export const NOT_DSCP = { ipv4: 0xff03, ipv6: 0xf03f } as const;

/** After this, the packet's IP header may be read and written. */
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

/** Loads packet and end again, with only the IP header proven. */
export function findAgain({ p, ctx, data, end, family, target, pass }: Packet): void {
	p.load(ctx.data, { into: data });
	p.load(ctx.data_end, { into: end });
	p.prove(data, target.linkHeaderBytes + HEADER_BYTES[family], end, pass);
}

/** Jumps to `pass` if no rule can match this DSCP: four instructions for all other traffic. Returns the DSCP. */
export function emitDscpFilter(packet: Packet, dscps: readonly number[]): Value {
	const { p, family, pass } = packet;
	p.comment("load the DSCP");
	let dscp: Value;
	// Avoid r2 and r5, which the straight path needs for the checksum helper's arguments.
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

/** The DSCP, 0–63, of a header whose version was checked. */
export function loadDscp(packet: Packet, placement: Placement = "scratch"): Value {
	const { p, data, family, target } = packet;
	if (family === "ipv6") return firstBits(packet, 10, "dscp", placement).and(DSCP_COUNT - 1);
	return p.load(view(data, IPV4, target.linkHeaderBytes).tos, { name: "dscp", in: placement }).rsh(2);
}

/** TOS or Traffic Class byte, as received. */
export function loadTos(packet: Packet): Value {
	const { p, data, family, target } = packet;
	if (family === "ipv6") return firstBits(packet, 12, "tos", "scratch").and(0xff);
	return p.load(view(data, IPV4, target.linkHeaderBytes).tos, { name: "tos" });
}

/** The first bits of an IPv6 header: version 4 bits, Traffic Class 8, Flow Label 20. */
function firstBits({ p, data, target }: Packet, bits: number, name: string, placement: Placement): Value {
	const first = p.load(view(data, IPV6, target.linkHeaderBytes).versionClassFlow, { name, in: placement });
	return first.toHost().rsh(32 - bits);
}
