/** The packets of a probe as bytes, and what can come back. Pure. RFC 791, 8200, 9293, 768, 792, 4443. */
import { type Address, addressFromBytes, type Family } from "@l3dsr/packet";

/** What the IP header says. */
export interface Envelope {
	readonly source: Address;
	/** Of the same family. */
	readonly destination: Address;
	/** TOS or Traffic Class, ECN bits and all. */
	readonly tos: number;
	/** TTL or hop limit. */
	readonly ttl: number;
}

export interface Ports {
	readonly sourcePort: number;
	readonly destinationPort: number;
}

export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;
export const TCP_FLAG = { syn: 0x02, rst: 0x04, ack: 0x10 } as const;

const WINDOW = 64_240;

/** What a packet carries that came as an answer. */
export type Incoming =
	| (Ports & {
			readonly kind: "tcp";
			readonly flags: number;
			readonly acknowledgement: number;
	  })
	| (Ports & { readonly kind: "udp" })
	| { readonly kind: "echo-reply"; readonly id: number; readonly sequence: number }
	| { readonly kind: "icmp-error"; readonly type: number; readonly code: number; readonly quoted: Quoted };

/** The header of one of our packets, as an ICMP error gives it back. */
export interface Quoted {
	readonly tos: number;
	readonly destination: Address;
	readonly what:
		| (Ports & { readonly kind: "tcp"; readonly sequence: number })
		| (Ports & { readonly kind: "udp" })
		| { readonly kind: "echo"; readonly id: number; readonly sequence: number };
}

export interface IncomingPacket {
	readonly source: Address;
	readonly destination: Address;
	readonly tos: number;
	readonly content: Incoming;
}

/** A connection's first packet, with the one option that every stack sends: the segment size. */
export function encodeSyn(envelope: Envelope, ports: Ports, sequence: number): Uint8Array {
	const segmentBytes = envelope.source.family === "ipv4" ? 1460 : 1440;
	return encodeTcp(envelope, ports, sequence, TCP_FLAG.syn, [2, 4, segmentBytes >> 8, segmentBytes & 0xff]);
}

/**
 * Ends what a SYN began. `sequence` is the one that the other side expects next: it takes no other reset at
 * once (RFC 5961).
 */
export function encodeReset(envelope: Envelope, ports: Ports, sequence: number): Uint8Array {
	return encodeTcp(envelope, ports, sequence, TCP_FLAG.rst, []);
}

function encodeTcp(
	envelope: Envelope,
	{ sourcePort, destinationPort }: Ports,
	sequence: number,
	flags: number,
	options: readonly number[],
): Uint8Array {
	const segment = new Uint8Array(20 + options.length);
	const view = viewOf(segment);
	view.setUint16(0, sourcePort);
	view.setUint16(2, destinationPort);
	view.setUint32(4, sequence);
	view.setUint8(12, (segment.length / 4) << 4);
	view.setUint8(13, flags);
	view.setUint16(14, flags === TCP_FLAG.rst ? 0 : WINDOW);
	segment.set(options, 20);
	view.setUint16(16, transportChecksum(envelope, PROTOCOL.tcp, segment));
	return encodeIp(envelope, PROTOCOL.tcp, segment);
}

export function encodeUdp(
	envelope: Envelope,
	{ sourcePort, destinationPort }: Ports,
	data: Uint8Array,
): Uint8Array {
	const datagram = new Uint8Array(8 + data.length);
	const view = viewOf(datagram);
	view.setUint16(0, sourcePort);
	view.setUint16(2, destinationPort);
	view.setUint16(4, datagram.length);
	datagram.set(data, 8);
	view.setUint16(6, transportChecksum(envelope, PROTOCOL.udp, datagram) || 0xffff);
	return encodeIp(envelope, PROTOCOL.udp, datagram);
}

export function encodeEcho(envelope: Envelope, id: number, sequence: number, data: Uint8Array): Uint8Array {
	const ipv4 = envelope.source.family === "ipv4";
	const message = echoMessage(envelope.source.family, id, sequence, data);
	viewOf(message).setUint16(
		2,
		ipv4 ? checksum(message) : transportChecksum(envelope, PROTOCOL.icmpv6, message),
	);
	return encodeIp(envelope, ipv4 ? PROTOCOL.icmp : PROTOCOL.icmpv6, message);
}

/** An echo request without its checksum. */
export function echoMessage(family: Family, id: number, sequence: number, data: Uint8Array): Uint8Array {
	const message = new Uint8Array(8 + data.length);
	const view = viewOf(message);
	view.setUint8(0, family === "ipv4" ? 8 : 128);
	view.setUint16(4, id);
	view.setUint16(6, sequence);
	message.set(data, 8);
	return message;
}

function encodeIp(
	{ source, destination, tos, ttl }: Envelope,
	protocol: number,
	payload: Uint8Array,
): Uint8Array {
	const ipv4 = source.family === "ipv4";
	const header = new Uint8Array(ipv4 ? 20 : 40);
	const view = viewOf(header);
	if (ipv4) {
		view.setUint8(0, 0x45);
		view.setUint8(1, tos);
		view.setUint16(2, 20 + payload.length);
		view.setUint16(6, 0x4000); // do not fragment
		view.setUint8(8, ttl);
		view.setUint8(9, protocol);
		header.set(source.bytes, 12);
		header.set(destination.bytes, 16);
		view.setUint16(10, checksum(header));
	} else {
		view.setUint32(0, 0x60000000 | (tos << 20));
		view.setUint16(4, payload.length);
		view.setUint8(6, protocol);
		view.setUint8(7, ttl);
		header.set(source.bytes, 8);
		header.set(destination.bytes, 24);
	}
	return concatenate(header, payload);
}

/** RFC 1071; an odd last byte is padded with zero. */
function checksum(bytes: Uint8Array): number {
	let sum = 0;
	for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
	while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
	return ~sum & 0xffff;
}

function transportChecksum({ source, destination }: Envelope, protocol: number, message: Uint8Array): number {
	const trailer = Uint8Array.of(0, 0, message.length >> 8, message.length & 0xff, 0, 0, 0, protocol);
	return checksum(
		concatenate(Uint8Array.from(source.bytes), Uint8Array.from(destination.bytes), trailer, message),
	);
}

/** The answer in a packet that begins at its IP header; undefined when it is none, or cut short. */
export function decodePacket(bytes: Uint8Array): IncomingPacket | undefined {
	const header = decodeIp(bytes);
	if (header === undefined) return undefined;
	const content = decodeContent(header.protocol, header.payload);
	return content === undefined ? undefined : { ...header, content };
}

interface IpHeader {
	readonly source: Address;
	readonly destination: Address;
	readonly tos: number;
	readonly protocol: number;
	readonly payload: Uint8Array;
}

function decodeIp(bytes: Uint8Array): IpHeader | undefined {
	const view = viewOf(bytes);
	const version = (bytes[0] ?? 0) >> 4;
	if (version === 4 && bytes.length >= 20) {
		const headerBytes = (view.getUint8(0) & 0x0f) * 4;
		if (headerBytes < 20 || (view.getUint16(6) & 0x1fff) !== 0) return undefined;
		return {
			source: addressFromBytes(bytes.subarray(12, 16)),
			destination: addressFromBytes(bytes.subarray(16, 20)),
			tos: view.getUint8(1),
			protocol: view.getUint8(9),
			payload: bytes.subarray(headerBytes),
		};
	}
	if (version !== 6 || bytes.length < 40) return undefined;
	return {
		source: addressFromBytes(bytes.subarray(8, 24)),
		destination: addressFromBytes(bytes.subarray(24, 40)),
		tos: (view.getUint16(0) >> 4) & 0xff,
		protocol: view.getUint8(6),
		payload: bytes.subarray(40),
	};
}

/** Types of ICMP that are an echo reply, and those that quote the packet which they are about. */
const ICMP_TYPES = {
	[PROTOCOL.icmp]: { reply: 0, request: 8, errors: [3, 11, 12] },
	[PROTOCOL.icmpv6]: { reply: 129, request: 128, errors: [1, 2, 3, 4] },
} as const;

function decodeContent(protocol: number, payload: Uint8Array): Incoming | undefined {
	if (payload.length < 8) return undefined;
	const view = viewOf(payload);
	const ports = { sourcePort: view.getUint16(0), destinationPort: view.getUint16(2) };
	if (protocol === PROTOCOL.udp) return { kind: "udp", ...ports };
	if (protocol === PROTOCOL.tcp) {
		if (payload.length < 20) return undefined;
		return { kind: "tcp", ...ports, flags: view.getUint8(13), acknowledgement: view.getUint32(8) };
	}
	if (protocol !== PROTOCOL.icmp && protocol !== PROTOCOL.icmpv6) return undefined;
	const [type, code] = [view.getUint8(0), view.getUint8(1)];
	const types = ICMP_TYPES[protocol];
	if (type === types.reply) {
		return { kind: "echo-reply", id: view.getUint16(4), sequence: view.getUint16(6) };
	}
	if (!types.errors.some((error) => error === type)) return undefined;
	const quoted = decodeQuoted(payload.subarray(8));
	return quoted === undefined ? undefined : { kind: "icmp-error", type, code, quoted };
}

/** RFC 792: the header and at least eight bytes of what it carried. */
function decodeQuoted(bytes: Uint8Array): Quoted | undefined {
	const header = decodeIp(bytes);
	if (header === undefined || header.payload.length < 8) return undefined;
	const { tos, destination, protocol, payload } = header;
	const view = viewOf(payload);
	const ports = { sourcePort: view.getUint16(0), destinationPort: view.getUint16(2) };
	switch (protocol) {
		case PROTOCOL.tcp:
			return { tos, destination, what: { kind: "tcp", ...ports, sequence: view.getUint32(4) } };
		case PROTOCOL.udp:
			return { tos, destination, what: { kind: "udp", ...ports } };
		case PROTOCOL.icmp:
		case PROTOCOL.icmpv6:
			if (view.getUint8(0) !== ICMP_TYPES[protocol].request) return undefined;
			return {
				tos,
				destination,
				what: { kind: "echo", id: view.getUint16(4), sequence: view.getUint16(6) },
			};
		default:
			return undefined;
	}
}

function viewOf(bytes: Uint8Array): DataView {
	return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function concatenate(...parts: readonly Uint8Array[]): Uint8Array {
	const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
	let at = 0;
	for (const part of parts) {
		whole.set(part, at);
		at += part.length;
	}
	return whole;
}
