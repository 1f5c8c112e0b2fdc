/** The packet that an ICMP error quotes, copied to the stack: it shows which flow the error is about. */
import {
	IPV4,
	IPV6,
	IPV6_FRAGMENT,
	type Label,
	type Place,
	part,
	struct,
	type Value,
	type View,
	view,
	whole,
} from "@l3dsr/bpf";
import {
	EXTENSION_HEADER,
	ICMP_ERROR_TYPES,
	IPV4_FRAGMENT,
	IPV6_FRAGMENT_FIELD,
	PROTOCOL_NUMBER,
} from "@l3dsr/packet";
import { storeUnknown } from "./forget.ts";
import { HEADER_BYTES } from "./ip-header.ts";
import { KIND, NO_PROTOCOL, type ParsedPacket, PORTS } from "./packet.ts";
import { copyFromPacket, copyIntoPacket, packetEnd } from "./packet-bytes.ts";

/** These values differ between packets, so they are in second halves, as on the rest of the stack. */
const QUOTE = struct("quote", {
	/** The quoted IP header; for IPv4, without options. */
	header: { bytes: 40 },
	_first1: "u32",
	/** Protocol of the quoted transport header; NO_PROTOCOL in a packet that quotes none. */
	protocol: "u32",
	_first2: "u32",
	/** Offset of the quoted transport header from the start of the packet. */
	transport: "u32",
	_first3: "u32",
	ports: { bytes: 4 },
});

/** Type, code, checksum, and four bytes that depend on the type. */
const ICMP_BYTES = 8;
const ICMP_CHECKSUM_OFFSET = 2;
const ICMP = { ipv4: PROTOCOL_NUMBER.icmp, ipv6: PROTOCOL_NUMBER.icmpv6 } as const;
const PORT_BYTES = 4;

export interface Quote {
	readonly all: View<typeof QUOTE.fields>;
	/** As quoted: the source port belongs to the receiver of the error. */
	readonly ports: View<typeof PORTS.fields>;
}

export function allocateQuote({ p }: Pick<ParsedPacket, "p">): Quote {
	const all = p.stack("quote", QUOTE);
	return { all, ports: view(all.ports.base, PORTS, all.ports.offset) };
}

/** Source and destination of the quoted packet. */
export function quotedAddresses(
	{ family }: Pick<ParsedPacket, "family">,
	{ all }: Quote,
): { readonly source: Place; readonly destination: Place } {
	const { base, offset } = all.header;
	return family === "ipv4" ? view(base, IPV4, offset) : view(base, IPV6, offset);
}

/**
 * Puts on the stack what an ICMP error quotes, if the packet contains the quoted ports: directly after the quoted IP
 * header, for IPv6 also after a fragment header. Values in r0-r5 are lost. (quoteOf in @l3dsr/packet does the same on
 * plain bytes.)
 */
export function emitLoadQuote(packet: ParsedPacket, quote: Quote): void {
	const { p, kind, transport, family, stack } = packet;
	const { all } = quote;
	const done = p.label("quote loaded");
	p.comment("no quote yet");
	p.storeBytes(all.header, new Uint8Array(all.header.field.bytes));
	storeUnknown(packet, 0, all.transport, whole(quote.ports));
	storeUnknown(packet, NO_PROTOCOL, all.protocol);
	p.comment("an ICMP error?");
	if (family === "ipv4") p.gotoIf(kind, "!=", ICMP.ipv4, done);
	else {
		using protocol = p.copy(kind, "protocol").and(~KIND.routedFurther);
		p.gotoIf(protocol, "!=", ICMP.ipv6, done);
		p.gotoIf(stack.slots.protocol, "!=", ICMP.ipv6, done);
	}
	emitUnlessInPacket(packet, transport, ICMP_BYTES + HEADER_BYTES[family], done);
	copyFromPacket(packet, transport, stack.field, done);
	{
		using type = p.load(stack.field, { name: "type" }).toHost().rsh(8);
		p.gotoIf(type, ">", 63, done);
		p.gotoUnlessMember(type, ICMP_ERROR_TYPES[family], done);
	}
	p.comment("read the IP header that it quotes");
	{
		using quoted = p.copy(transport, "quoted").add(ICMP_BYTES);
		copyFromPacket(packet, quoted, part(all.header, 0, HEADER_BYTES[family]), done);
	}
	{
		using offset = p.copy(transport, "quoted transport").add(ICMP_BYTES);
		if (family === "ipv4") emitBehindIpv4(packet, quote, offset, done);
		else emitBehindIpv6(packet, quote, offset, done);
		p.store(all.transport, offset);
		emitUnlessInPacket(packet, offset, PORT_BYTES, done);
		copyFromPacket(packet, offset, all.ports, done);
	}
	p.comment("its ports are there: a quote");
	{
		using protocol = p.load(protocolOf(packet, quote), { name: "protocol" });
		p.store(all.protocol, protocol);
	}
	p.place(done);
}

/** Protocol of the quoted transport header; after an IPv6 fragment header, `emitBehindIpv6` has stored it there. */
function protocolOf({ family }: ParsedPacket, { all }: Quote): Place {
	const { base, offset } = all.header;
	return family === "ipv4" ? view(base, IPV4, offset).protocol : view(base, IPV6, offset).nextHeader;
}

/**
 * Adds the quoted header's length to `offset`; jumps to `otherwise` for another version, a broken header or a later
 * fragment.
 */
function emitBehindIpv4({ p }: ParsedPacket, { all }: Quote, offset: Value, otherwise: Label): void {
	const ip = view(all.header.base, IPV4, all.header.offset);
	using header = p.load(ip.versionIhl, { name: "quoted header" });
	{
		using version = p.copy(header, "version").rsh(4);
		p.gotoIf(version, "!=", 4, otherwise);
	}
	header.and(0x0f).lsh(2);
	p.gotoIf(header, "<", IPV4.bytes, otherwise);
	p.gotoIf(ip.fragment, "&", IPV4_FRAGMENT.offset, otherwise);
	offset.add(header);
}

function emitBehindIpv6(packet: ParsedPacket, { all }: Quote, offset: Value, otherwise: Label): void {
	const { p, stack } = packet;
	const ip = view(all.header.base, IPV6, all.header.offset);
	{
		using version = p.load(part(ip.versionClassFlow, 0, 1), { name: "version" }).rsh(4);
		p.gotoIf(version, "!=", 6, otherwise);
	}
	offset.add(IPV6.bytes);
	const behind = p.label("behind the quoted headers");
	p.gotoIf(ip.nextHeader, "!=", EXTENSION_HEADER.fragment, behind);
	p.comment("the first fragment of a packet of this host");
	p.store(all.transport, offset);
	emitUnlessInPacket(packet, offset, stack.extension.field.bytes, otherwise);
	copyFromPacket(packet, offset, stack.extension, otherwise);
	const fragment = view(stack.extension.base, IPV6_FRAGMENT, stack.extension.offset);
	p.gotoIf(fragment.fragment, "&", IPV6_FRAGMENT_FIELD.offset, otherwise);
	{
		using next = p.load(fragment.nextHeader);
		p.store(ip.nextHeader, next);
	}
	p.revive(offset);
	p.load(all.transport, { into: offset });
	offset.add(IPV6_FRAGMENT.bytes);
	p.place(behind);
}

/** Jumps to `otherwise` if the packet ends before `offset + length`. */
function emitUnlessInPacket(packet: ParsedPacket, offset: Value, length: number, otherwise: Label): void {
	const { p } = packet;
	using end = packetEnd(packet);
	using needed = p.copy(offset, "needed").add(length);
	p.gotoIf(needed, ">", end, otherwise);
}

/**
 * Sets the quoted port before `offset` (source) or after it (destination) to the value on the stack. Updates the
 * message's checksum but not the quoted one. A sum of the packet by the NIC stays right, because both changes cancel
 * out. Values in r0-r5 are lost. Jumps to `otherwise` if the packet cannot be written.
 */
export function emitSetQuotedPort(
	packet: ParsedPacket,
	{ all, ports }: Quote,
	side: "source" | "destination",
	otherwise: Label,
): void {
	const { p, transport, stack } = packet;
	const { field, arrivedPort } = stack;
	const portOffset = (): Value => {
		const offset = p.load(all.transport, { name: "quoted port offset" });
		return side === "source" ? offset : offset.add(PORTS.fields.destination.offset);
	};
	const checksumOffset = (): Value => p.copy(transport, "checksum offset").add(ICMP_CHECKSUM_OFFSET);
	p.comment("set the port in the quote, and the message's checksum");
	{
		using offset = portOffset();
		copyFromPacket(packet, offset, arrivedPort, otherwise);
	}
	{
		using offset = checksumOffset();
		copyFromPacket(packet, offset, field, otherwise);
	}
	{
		using change = p.load(arrivedPort, { name: "difference" }).raw(64);
		{
			using port = p.load(ports[side]).xor(0xffff);
			change.add(port);
		}
		p.addToChecksum(field, change, 2n * 0xffffn);
	}
	{
		using offset = portOffset();
		copyIntoPacket(packet, offset, ports[side], otherwise);
	}
	using offset = checksumOffset();
	copyIntoPacket(packet, offset, field, otherwise);
}
