/** The start of the program: finds the frame and checks that it is addressed to this host. */
import { ETHERNET, type Label, SKB, type Value, VLAN, view, XDP } from "@l3dsr/bpf";
import { ETHER_TYPE } from "@l3dsr/packet";
import { type Director, loadContext } from "./frame.ts";

const VLAN_ID_MASK = 0x0fff;
/** pkt_type, uapi/linux/if_packet.h. */
const PACKET_HOST = 0;
/** The shortest IP header. */
const SHORTEST = 20;
/** At tc, the rest of a packet may be unreadable until the program pulls it in; this is as much as headers can need. */
const PULLED_BYTES = 2048;

export interface Arrival {
	/** Start of the frame, proven up to 20 bytes into its network header. In r6. */
	readonly data: Value;
	/** End of the readable bytes. In r2. */
	readonly end: Value;
}

/** Jumps to `isIpv6` for IPv6; falls through for IPv4. */
export function emitArrival(director: Director, isIpv6: Label): Arrival {
	return director.options.hook === "tc" ? arriveAtTc(director, isIpv6) : arriveAtXdp(director, isIpv6);
}

function arriveAtXdp({ p, options, slots, link, leave }: Director, isIpv6: Label): Arrival {
	const ctx = p.context(XDP);
	p.comment("find the frame");
	const data = p.load(ctx.data, { name: "data", in: 6 });
	const end = p.load(ctx.data_end, { name: "end", in: 2 });
	p.store(slots.context, ctx.data.base);
	p.release(ctx.data.base);
	p.store(slots.state, 0);
	p.prove(data, link + SHORTEST, end, leave("not-ip"));
	const ethernet = view(data, ETHERNET);
	if (options.mac !== undefined) {
		p.comment("is it for this host?");
		p.gotoUnlessBytes(ethernet.destination, options.mac, leave("other-host"));
	}
	let etherType = ethernet.type;
	if (options.vlan !== undefined) {
		p.comment("is it of the VLAN?");
		const tag = view(data, VLAN, ETHERNET.bytes);
		p.gotoIf(ethernet.type, "!=", ETHER_TYPE.vlan, leave("vlan"));
		{
			using id = p.load(tag.tci, { name: "vlan id" }).and(VLAN_ID_MASK);
			p.gotoIf(id, "!=", options.vlan, leave("vlan"));
		}
		etherType = tag.type;
	}
	p.comment("IPv4 or IPv6?");
	using type = p.load(etherType);
	p.gotoIf(type, "==", ETHER_TYPE.ipv6, isIpv6);
	p.gotoIf(type, "!=", ETHER_TYPE.ipv4, leave("not-ip"));
	return { data, end };
}

function arriveAtTc(director: Director, isIpv6: Label): Arrival {
	const { p, slots, link, leave } = director;
	const ctx = p.context(SKB);
	p.comment("find the packet");
	p.store(slots.context, ctx.data.base);
	p.store(slots.state, 0);
	const data = p.load(ctx.data, { name: "data", in: 6 });
	const end = p.load(ctx.data_end, { name: "end", in: 2 });
	p.release(ctx.data.base);
	p.unlessProven(data, link + SHORTEST, end, () => {
		emitPull(director);
		const again = loadContext(director);
		p.load(again.data, { into: data });
		p.load(again.data_end, { into: end });
		p.release(again.data.base);
		p.prove(data, link + SHORTEST, end, leave("not-ip"));
	});
	using base = p.load(slots.context, { name: "context" });
	const skb = view(base, SKB);
	p.comment("is it for this host?");
	p.gotoIf(skb.pkt_type, "!=", PACKET_HOST, leave("other-host"));
	p.comment("without a VLAN tag? the kernel has moved the tag out of the frame");
	p.gotoIf(skb.vlan_present, "!=", 0, leave("vlan"));
	p.comment("IPv4 or IPv6?");
	using type = p.load(skb.protocol, { name: "ethertype" });
	p.release(base);
	p.gotoIf(type, "==", ETHER_TYPE.ipv6, isIpv6);
	p.gotoIf(type, "!=", ETHER_TYPE.ipv4, leave("not-ip"));
	return { data, end };
}

/** At tc, makes the headers readable, as far as the packet has them. Values in r0-r5 are lost. */
function emitPull({ p, slots }: Director): void {
	p.comment("have the kernel pull the headers in");
	using base = p.load(slots.context, { name: "context" });
	using length = p.load(view(base, SKB).len, { name: "pulled" });
	const fits = p.label("fits");
	p.gotoIf(length, "<=", PULLED_BYTES, fits);
	length.set(PULLED_BYTES);
	p.place(fits);
	p.run("bpf_skb_pull_data", [base, length]);
}

/**
 * Loads the frame again when no register holds it: `data`, with the IP header proven; returns its end. At tc it first
 * pulls in the headers.
 */
export function findAgain(director: Director, data: Value, headerBytes: number): Value {
	const { p, options, link, leave } = director;
	if (options.hook === "tc") emitPull(director);
	const context = loadContext(director);
	p.revive(data);
	p.load(context.data, { into: data });
	const end = p.load(context.data_end, { name: "end", in: 2 });
	p.release(context.data.base);
	p.prove(data, link + headerBytes, end, leave("not-ip"));
	return end;
}

/** Bytes from the network header to the end of the received frame, padding included. `end` may be gone afterwards. */
export function arrivedBytes(director: Director, data: Value, end: Value): Value {
	const { p, options, slots, link } = director;
	const arrived = p.u64("arrived");
	if (options.hook === "tc") {
		using context = p.load(slots.context, { name: "context" });
		p.load(view(context, SKB).len, { into: arrived });
	} else arrived.set(end).sub(data);
	if (link > 0) arrived.sub(link);
	return arrived;
}
