/** Reads an IPv6 header that is not followed by TCP or UDP: extension headers, fragments, another protocol. */

import { IPV6, IPV6_EXTENSION, IPV6_FRAGMENT, IPV6_ROUTING, type Label, type Value, view } from "@l3dsr/bpf";
import { EXTENSION_HEADER, EXTENSION_LIMIT, IPV6_FRAGMENT_FIELD, PROTOCOL_NUMBER } from "@l3dsr/packet";
import { arrivedBytes } from "./arrival.ts";
import { loadContext, type Packet, STATE } from "./frame.ts";
import { pointerTo } from "./transport.ts";

/** The smallest extension header. */
const LEAST_BYTES = 8;

const { hopByHop, routing, fragment, authentication, destinationOptions, mobility, hip, shim6 } =
	EXTENSION_HEADER;
/** The protocol numbers below 64, and the others. */
const LOW = [hopByHop, routing, fragment, authentication, destinationOptions];
const HIGH = [mobility, hip, shim6];

/** Jumps to `otherwise` unless `protocol` is an extension header to walk over. */
export function emitUnlessExtension({ p }: Pick<Packet, "p">, protocol: Value, otherwise: Label): void {
	const walked = p.label("extension header");
	const low = p.label("below 64");
	p.gotoIf(protocol, "<", 64, low);
	for (const number of HIGH) p.gotoIf(protocol, "==", number, walked);
	p.goto(otherwise);
	p.place(low);
	p.gotoUnlessMember(protocol, LOW, otherwise);
	p.place(walked);
}

/** Sets the stack's `length`, `offset` and `protocol` to those of the packet and its transport header. */
export function emitReadIpv6(packet: Packet, end: Value, later: Label): void {
	const { p, slots, data, link, leave } = packet;
	const ip = view(data, IPV6, link);
	p.comment("the length in the header");
	{
		using length = p.load(ip.payloadLength, { name: "length" }).toHost();
		length.add(IPV6.bytes);
		using arrived = arrivedBytes(packet, data, end);
		p.gotoIf(length, ">", arrived, leave("length"));
		p.store(slots.length, length);
		using protocol = p.load(ip.nextHeader, { name: "next header" });
		p.store(slots.protocol, protocol);
	}
	p.release(end);
	p.store(slots.offset, IPV6.bytes);
	p.store(slots.walked, 0);
	const done = p.label("at transport");
	p.comment("walk the extension headers");
	p.loop("walk", (again) => emitWalk(packet, { again, done, later }));
	p.place(done);
	p.comment("the last one ends within the packet");
	{
		using offset = p.load(slots.offset);
		using length = p.load(slots.length);
		p.gotoIf(offset, ">", length, leave("extensions"));
	}
	p.revive(end);
	const context = loadContext(packet);
	p.load(context.data_end, { into: end });
	p.release(context.data.base);
}

function emitWalk(
	packet: Packet,
	{ again, done, later }: Readonly<Record<"again" | "done" | "later", Label>>,
): void {
	const { p, slots, leave } = packet;
	const refuse = leave("extensions");
	using protocol = p.load(slots.protocol, { in: 3 });
	emitUnlessExtension(packet, protocol, done);
	{
		using count = p.load(slots.walked);
		p.gotoIf(count, "==", EXTENSION_LIMIT, refuse);
		count.add(1);
		p.store(slots.walked, count);
	}
	const context = loadContext(packet);
	using end = p.load(context.data_end, { name: "end" });
	p.release(context.data.base);
	using at = pointerTo(packet, end, LEAST_BYTES, refuse, "extension");
	p.release(end);
	const header = view(at, IPV6_EXTENSION);
	const advance = p.label("next header");
	const isFragment = p.label("fragment header");
	const isAuthentication = p.label("authentication header");
	const usual = p.label("usual header");
	using size = p.load(header.length, { name: "size" });
	p.gotoIf(protocol, "==", fragment, isFragment);
	p.gotoIf(protocol, "==", authentication, isAuthentication);
	p.gotoIf(protocol, "!=", routing, usual);
	p.comment("a routing header with segments left has another destination");
	p.gotoIf(view(at, IPV6_ROUTING).segmentsLeft, "!=", 0, refuse);
	p.place(usual);
	size.add(1).lsh(3);
	p.goto(advance);
	p.place(isAuthentication);
	size.add(2).lsh(2);
	p.goto(advance);
	p.place(isFragment);
	emitFragment(packet, at, later, advance, size);
	p.place(advance);
	{
		using next = p.load(header.nextHeader);
		p.store(slots.protocol, next);
	}
	size.add(p.load(slots.offset, { into: protocol }));
	p.store(slots.offset, size);
	p.goto(again);
}

function emitFragment(packet: Packet, at: Value, later: Label, advance: Label, size: Value): void {
	const { p, slots, leave } = packet;
	const header = view(at, IPV6_FRAGMENT);
	size.set(IPV6_FRAGMENT.bytes);
	using field = p.load(header.fragment, { name: "fragment" });
	p.comment("an atomic fragment is a whole packet");
	p.gotoUnless(field, "&", IPV6_FRAGMENT_FIELD.offset | IPV6_FRAGMENT_FIELD.more, advance);
	{
		using id = p.load(header.identification).raw(32);
		p.store(slots.identification, id);
		using next = p.load(header.nextHeader, { name: "next header" });
		p.store(slots.datagramProtocol, next);
	}
	const isLater = p.label("offset");
	p.gotoIf(field, "&", IPV6_FRAGMENT_FIELD.offset, isLater);
	p.comment("the first fragment of several");
	{
		using state = p.load(slots.state, { name: "state" });
		state.or(STATE.firstFragment);
		p.store(slots.state, state);
	}
	p.goto(advance);
	p.place(isLater);
	{
		using offset = p.copy(field, "offset").and(IPV6_FRAGMENT_FIELD.offset);
		const other = p.label("not within the header");
		p.gotoIf(offset, "!=", 8, other);
		p.gotoIf(slots.datagramProtocol, "==", PROTOCOL_NUMBER.tcp, leave("fragment-tcp"));
		p.place(other);
	}
	p.goto(later);
}
