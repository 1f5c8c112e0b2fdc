/**
 * Builds packets from a few fields, with correct lengths and checksums. RFC 791, 8200, 9293, 768, 792, 4443.
 */
import type { Address, Family } from "./address.ts";
import { putWord } from "./bytes.ts";
import { internetChecksum, pseudoHeaderSum } from "./checksum.ts";
import { PROTOCOL_NUMBER } from "./protocol.ts";

/** Fields of the IP header. */
export interface IpFields {
	readonly source: Address;
	/** Of the same family as the source. */
	readonly destination: Address;
	/** TOS or Traffic Class, including the ECN bits. */
	readonly tos: number;
	/** TTL or hop limit. */
	readonly ttl: number;
	/** IPv4's flag; IPv6 routers never fragment. */
	readonly dontFragment?: boolean;
}

export interface TcpFields {
	readonly sourcePort: number;
	readonly destinationPort: number;
	/** Unsigned, 32 bits. */
	readonly sequence: number;
	/** Unsigned, 32 bits; default 0. Only used with TCP_FLAG.ack. */
	readonly acknowledgement?: number;
	/** TCP_FLAG bits. */
	readonly flags: number;
	readonly window: number;
	/** Encoded; a multiple of four bytes. */
	readonly options?: readonly number[];
	readonly data?: Uint8Array;
}

export interface UdpFields {
	readonly sourcePort: number;
	readonly destinationPort: number;
	readonly data: Uint8Array;
}

export interface EchoFields {
	readonly id: number;
	readonly sequence: number;
	readonly data: Uint8Array;
}

export const TCP_FLAG = { fin: 0x01, syn: 0x02, rst: 0x04, psh: 0x08, ack: 0x10 } as const;

/** A segment with its checksum. */
export function tcpPacket(ip: IpFields, fields: TcpFields): Uint8Array {
	const { sourcePort, destinationPort, sequence, acknowledgement = 0, flags, window } = fields;
	const { options = [], data = new Uint8Array() } = fields;
	if (options.length % 4 !== 0)
		throw new RangeError(`TCP options of ${options.length} bytes are not whole words`);
	const headerBytes = 20 + options.length;
	const segment = new Uint8Array(headerBytes + data.length);
	putWord(segment, 0, sourcePort);
	putWord(segment, 2, destinationPort);
	putWord(segment, 4, sequence >>> 16);
	putWord(segment, 6, sequence);
	putWord(segment, 8, acknowledgement >>> 16);
	putWord(segment, 10, acknowledgement);
	segment.set([(headerBytes / 4) << 4, flags], 12);
	putWord(segment, 14, window);
	segment.set(options, 20);
	segment.set(data, headerBytes);
	putWord(segment, 16, transportChecksum(ip, PROTOCOL_NUMBER.tcp, segment));
	return ipPacket(ip, PROTOCOL_NUMBER.tcp, segment);
}

/** A datagram with its checksum. */
export function udpPacket(ip: IpFields, { sourcePort, destinationPort, data }: UdpFields): Uint8Array {
	const datagram = new Uint8Array(8 + data.length);
	putWord(datagram, 0, sourcePort);
	putWord(datagram, 2, destinationPort);
	putWord(datagram, 4, datagram.length);
	datagram.set(data, 8);
	// 0 would mean that there is no checksum.
	putWord(datagram, 6, transportChecksum(ip, PROTOCOL_NUMBER.udp, datagram) || 0xffff);
	return ipPacket(ip, PROTOCOL_NUMBER.udp, datagram);
}

/** The packet that ping sends. */
export function echoRequestPacket(ip: IpFields, fields: EchoFields): Uint8Array {
	const { family } = ip.source;
	const message = echoRequestMessage(family, fields);
	if (family === "ipv4") {
		putWord(message, 2, internetChecksum(message));
		return ipPacket(ip, PROTOCOL_NUMBER.icmp, message);
	}
	putWord(message, 2, transportChecksum(ip, PROTOCOL_NUMBER.icmpv6, message));
	return ipPacket(ip, PROTOCOL_NUMBER.icmpv6, message);
}

/** An ICMP echo request without its checksum, for sockets that fill it in. */
export function echoRequestMessage(family: Family, { id, sequence, data }: EchoFields): Uint8Array {
	const message = new Uint8Array(8 + data.length);
	message[0] = family === "ipv4" ? 8 : 128;
	putWord(message, 4, id);
	putWord(message, 6, sequence);
	message.set(data, 8);
	return message;
}

/**
 * Adds an IP header to `payload`. Throws a RangeError if the addresses have different families or the payload
 * is too long.
 */
export function ipPacket(
	{ source, destination, tos, ttl, dontFragment = false }: IpFields,
	protocol: number,
	payload: Uint8Array,
): Uint8Array {
	if (source.family !== destination.family)
		throw new RangeError("a packet goes from one address to another of the same family");
	const ipv4 = source.family === "ipv4";
	const headerBytes = ipv4 ? 20 : 40;
	const length = ipv4 ? headerBytes + payload.length : payload.length;
	if (length > 0xffff) throw new RangeError(`a packet cannot have a payload of ${payload.length} bytes`);
	const bytes = new Uint8Array(headerBytes + payload.length);
	bytes.set(payload, headerBytes);
	if (ipv4) {
		bytes.set([0x45, tos]);
		putWord(bytes, 2, length);
		putWord(bytes, 6, dontFragment ? 0x4000 : 0);
		bytes.set([ttl, protocol], 8);
		bytes.set(source.bytes, 12);
		bytes.set(destination.bytes, 16);
		putWord(bytes, 10, internetChecksum(bytes.subarray(0, headerBytes)));
	} else {
		putWord(bytes, 0, 0x6000 | (tos << 4));
		putWord(bytes, 4, length);
		bytes.set([protocol, ttl], 6);
		bytes.set(source.bytes, 8);
		bytes.set(destination.bytes, 24);
	}
	return bytes;
}

function transportChecksum({ source, destination }: IpFields, protocol: number, message: Uint8Array): number {
	return internetChecksum(
		message,
		pseudoHeaderSum(source.bytes, destination.bytes, protocol, message.length),
	);
}
