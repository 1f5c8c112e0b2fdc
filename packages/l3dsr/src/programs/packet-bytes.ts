/** What differs between hooks: how to read and write beyond the proven header, and how long a packet is. */
import { type Label, type Place, part, struct, type Value, view, whole } from "@l3dsr/bpf";
import type { Packet } from "./packet.ts";

/**
 * No header is further from the start of its packet; even eight extension headers take only 16 KB. The verifier must
 * see that a packet pointer moves by less than 64 KB.
 */
const OFFSET_MASK = 0x7fff;

/**
 * `*to = as many bytes of the packet from `offset` on`; jumps to `otherwise` if the packet is shorter. Values in
 * r0-r5 are lost, because at tc a helper reads what is not in linear memory.
 */
export function copyFromPacket(packet: Packet, offset: Value, to: Place, otherwise: Label): void {
	const { p, skb } = packet;
	const { bytes } = to.field;
	const far = skb === undefined ? otherwise : p.label("not linear");
	{
		using at = pointer(packet, offset);
		p.copyBytes(to, placeAt(packet, at, bytes, far));
	}
	if (skb === undefined) return;
	const copied = p.label("copied");
	p.goto(copied);
	p.place(far);
	{
		using failed = p.call("bpf_skb_load_bytes", [skb, offset, to, bytes], "failed");
		p.gotoIf(failed, "!=", 0, otherwise);
	}
	p.place(copied);
}

/**
 * Copies two bytes, or four (`length`), of `*to = four bytes of the packet from `offset` on`; jumps to `otherwise` if
 * the packet is shorter.
 */
export function copyTwoOrFour(
	packet: Packet,
	offset: Value,
	to: Place,
	length: Value,
	otherwise: Label,
): void {
	const { p, skb } = packet;
	if (skb !== undefined) {
		using failed = p.call("bpf_skb_load_bytes", [skb, offset, to, length], "failed");
		p.gotoIf(failed, "!=", 0, otherwise);
		return;
	}
	using at = pointer(packet, offset);
	p.copyBytes(part(to, 0, 2), placeAt(packet, at, 2, otherwise));
	// With four, the packet is known to have them.
	const two = p.label("two");
	p.copyBytes(to, placeAt(packet, at, 4, two));
	p.place(two);
}

/** `*(packet + offset) = *from`; jumps to `otherwise` if the packet is shorter. Packet pointers are lost. */
export function copyIntoPacket(
	packet: Packet,
	offset: Value,
	from: Place,
	otherwise: Label,
	flags = 0,
): void {
	const { p, skb } = packet;
	if (skb !== undefined) {
		p.run("bpf_skb_store_bytes", [skb, offset, from, from.field.bytes, flags]);
		return;
	}
	using at = pointer(packet, offset);
	p.copyBytes(placeAt(packet, at, from.field.bytes, otherwise), from);
}

/** `start of the packet + offset`, for `placeAt`. */
export function pointer({ p, ctx }: Packet, offset: Value): Value {
	using distance = p.copy(offset, "distance").and(OFFSET_MASK);
	return p.load(ctx.data, { name: "at" }).add(distance);
}

/** `length` bytes at a packet pointer; jumps to `otherwise` if linear memory (at XDP, the packet) ends before. */
export function placeAt({ p, ctx }: Packet, at: Value, length: number, otherwise: Label): Place {
	p.prove(at, length, ctx.data_end, otherwise);
	return whole(view(at, struct(`${length} bytes`, { all: { bytes: length } })));
}

/** Bytes from the network header to the end of the received frame, link-layer padding included. */
export function arrivedBytes({ p, skb, data, end, target }: Packet): Value {
	const arrived = p.u64("arrived");
	if (skb !== undefined) p.load(skb.len, { into: arrived });
	else arrived.set(end).sub(data);
	if (target.linkHeaderBytes > 0) arrived.sub(target.linkHeaderBytes);
	return arrived;
}

/** End of the IP packet, as an offset from the start of the packet. */
export function packetEnd({ p, stack, target }: Packet): Value {
	const end = p.load(stack.slots.length, { name: "packet end" });
	return target.linkHeaderBytes > 0 ? end.add(target.linkHeaderBytes) : end;
}
