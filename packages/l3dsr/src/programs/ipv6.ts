/** Reads an IPv6 packet whose DSCP has rules: afterwards its transport, kind and length are known. */

import {
	type Fields,
	IPV6,
	IPV6_EXTENSION,
	IPV6_FRAGMENT,
	IPV6_ROUTING,
	type Label,
	type Structure,
	type View,
	view,
} from "@l3dsr/bpf";
import { EXTENSION_HEADER, EXTENSION_LIMIT, PROTOCOL_NUMBER } from "@l3dsr/packet";
import { findStep, STEP_FLAG } from "./extension-headers.ts";
import { emitForgetWay, storeUnknown } from "./forget.ts";
import { KIND, NO_PROTOCOL, type Packet, type ParsedPacket } from "./packet.ts";
import { arrivedBytes, copyTwoOrFour, packetEnd } from "./packet-bytes.ts";

/** The most common transports first; with these there is nothing to walk over. */
const QUICK_TRANSPORTS = [PROTOCOL_NUMBER.tcp, PROTOCOL_NUMBER.udp, PROTOCOL_NUMBER.icmpv6];

export function emitParseIpv6<P extends Packet>(packet: P): P & ParsedPacket {
	const { p, data, stack, target, pass } = packet;
	const link = target.linkHeaderBytes;
	const ip = view(data, IPV6, link);
	p.comment("check the payload length against what arrived");
	const kind = p.load(ip.nextHeader, { name: "kind", in: "kept" });
	{
		using arrived = arrivedBytes(packet);
		using length = p.load(ip.payloadLength, { name: "length" }).toHost();
		length.add(IPV6.bytes);
		p.unlikely(length, "==", IPV6.bytes, () => {
			p.comment("payload length 0 with hop-by-hop options: a jumbogram, all that arrived");
			p.if(kind, "==", EXTENSION_HEADER.hopByHop, () => length.set(arrived));
		});
		p.gotoIf(length, ">", arrived, pass);
		p.store(stack.slots.length, length);
	}
	p.comment("the next header is the transport, if it is one of these");
	const transport = p.u64("transport", "kept").set(link + IPV6.bytes);
	if (packet.asksProtocol) p.store(stack.slots.protocol, kind);
	const parsed = { ...packet, transport, kind };
	const done = p.label("parsed");
	for (const protocol of QUICK_TRANSPORTS) p.gotoIf(kind, "==", protocol, done);
	emitWalk(parsed, done);
	p.place(done);
	return parsed;
}

/**
 * `kind` and `transport` advance from header to header; the stack's `protocol` keeps the first one where the kernel
 * stops.
 */
function emitWalk(packet: ParsedPacket, done: Label): void {
	const { p, kind, transport, stack } = packet;
	const { slots } = stack;
	const { nextHeader, length } = extensionAt(stack, IPV6_EXTENSION);
	const atTransport = p.label("at transport");
	const laterFragment = p.label("later fragment");
	const chainCut = p.label("chain cut");
	const chainLong = p.label("chain long");
	p.comment("walk the extension headers");
	p.store(slots.walked, 0);
	if (packet.asksProtocol) storeUnknown(packet, NO_PROTOCOL, slots.protocol);
	storeUnknown(packet, 0, slots.routed, stack.extension);
	p.loop("walk", (again) => {
		emitRead(packet, { atTransport, chainCut, chainLong });
		const { pointer, step } = findStep(packet, kind);
		using _pointer = pointer;
		p.comment("a later fragment?");
		{
			using fragment = p.load(extensionAt(stack, IPV6_FRAGMENT).fragment);
			using mask = p.load(step.fragmentMask);
			p.gotoIf(fragment.and(mask), "!=", 0, laterFragment);
		}
		p.comment("a routing header with segments left? Then the pseudo-header has another destination");
		{
			using left = p.load(extensionAt(stack, IPV6_ROUTING).segmentsLeft);
			using mask = p.load(step.segmentsLeftMask);
			using routed = p.load(slots.routed);
			p.store(slots.routed, routed.or(left.and(mask)));
		}
		p.comment("on to the next header");
		{
			using size = p.load(length, { name: "size" });
			using operand = p.load(step.lengthMask, { name: "operand" });
			size.and(operand);
			size.add(p.load(step.more, { into: operand }));
			size.lsh(p.load(step.shift, { into: operand }));
			transport.add(size);
		}
		p.load(nextHeader, { into: kind });
		p.goto(again);
	});

	p.place(atTransport);
	if (packet.asksProtocol) {
		p.comment("at the transport header: what -p sees, unless it stopped before");
		emitStopHere(packet);
	}
	p.comment("no next header (59): nothing more to find");
	p.if(kind, "==", EXTENSION_HEADER.noNextHeader, () => kind.or(KIND.laterFragment));
	p.comment("was there a routing header with segments left?");
	p.if(slots.routed, "!=", 0, () => kind.or(KIND.routedFurther));
	emitForgetWay(packet);
	p.goto(done);

	p.place(laterFragment);
	p.comment("a later fragment of the protocol that the fragment header names");
	p.load(nextHeader, { into: kind });
	if (packet.asksProtocol) {
		p.comment("which is what -p sees, unless it is an extension header");
		const { pointer, step } = findStep(packet, kind);
		using _pointer = pointer;
		using flags = p.load(step.flags).and(STEP_FLAG.walked | STEP_FLAG.stops);
		p.if(flags, "!=", STEP_FLAG.walked, () => emitStopHere(packet));
	}
	kind.or(KIND.laterFragment);
	p.goto(done);

	p.place(chainCut);
	p.comment("the chain is cut short");
	kind.set(KIND.laterFragment | KIND.chainCut);
	p.goto(done);
	p.place(chainLong);
	p.comment("the chain is too long");
	kind.set(KIND.laterFragment | KIND.chainLong);
}

/**
 * Reads the first bytes of an extension header; jumps to one of the labels if `kind` is not one, or if it is not in
 * the packet.
 */
function emitRead(
	packet: ParsedPacket,
	{ atTransport, chainCut, chainLong }: Readonly<Record<"atTransport" | "chainCut" | "chainLong", Label>>,
): void {
	const { p, kind, transport, stack } = packet;
	const { walked } = stack.slots;
	p.comment("an extension header?");
	const { pointer, step } = findStep(packet, kind);
	using flags = p.load(step.flags);
	p.release(pointer);
	p.gotoIf(flags, "==", 0, atTransport);
	if (packet.asksProtocol) {
		p.comment("one that only the rewrite looks behind? Then -p stops here, if it has not before");
		p.unlikely(flags, "&", STEP_FLAG.stops, () => emitStopHere(packet));
	}
	p.comment(`not more than ${EXTENSION_LIMIT} of them`);
	{
		using count = p.load(walked);
		p.gotoIf(count, "==", EXTENSION_LIMIT, chainLong);
		p.store(walked, count.add(1));
	}
	p.comment("read as much of it as ipv6_find_hdr does: two bytes, or four of a routing or fragment header");
	using needed = flags.and(STEP_FLAG.four).add(2);
	{
		using read = p.copy(transport, "read").add(needed);
		using end = packetEnd(packet);
		p.gotoIf(read, ">", end, chainCut);
	}
	copyTwoOrFour(packet, transport, stack.extension, needed, chainCut);
}

/** The extension header whose first bytes are on the stack. */
function extensionAt<F extends Fields>({ extension }: Packet["stack"], header: Structure<F>): View<F> {
	return view(extension.base, header, extension.offset);
}

/** Sets the stack's `protocol` to `kind`, unless it is set already. */
function emitStopHere({ p, kind, stack }: ParsedPacket): void {
	p.if(stack.slots.protocol, "==", NO_PROTOCOL, () => p.store(stack.slots.protocol, kind));
}
