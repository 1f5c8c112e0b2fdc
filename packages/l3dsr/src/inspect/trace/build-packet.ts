/** A packet from a few fields, as a client would send it: right lengths and checksums, no payload. Pure. */
import {
	type Address,
	type Dscp,
	PROTOCOL_NUMBER,
	parsePacket,
	putWord,
	sameAddress,
	tosOfDscp,
} from "@l3dsr/packet";
import { fillTransportChecksum, plainChecksum } from "./checksums.ts";

export type PacketTransport =
	/** TCP: a SYN. */
	| { readonly kind: "tcp" | "udp"; readonly destinationPort: number; readonly sourcePort: number }
	/** Echo request. */
	| { readonly kind: "icmp" };

export interface PacketFields {
	readonly source: Address;
	/** Of the same family. */
	readonly destination: Address;
	readonly dscp: Dscp;
	/** 0–3. */
	readonly ecn: number;
	/** TTL or hop limit. */
	readonly ttl: number;
	readonly transport: PacketTransport;
}

/** The IP packet. Throws a RangeError when the addresses are of two families. */
export function buildPacket(fields: PacketFields): Uint8Array {
	const { source, destination, dscp, ecn, ttl, transport } = fields;
	if (source.family !== destination.family || sameAddress(source, destination)) {
		throw new RangeError("a packet goes from one address to another of the same family");
	}
	const ipv4 = source.family === "ipv4";
	const headerBytes = ipv4 ? 20 : 40;
	const message = transportMessage(transport, ipv4);
	const protocol = PROTOCOL_NUMBER[transport.kind === "icmp" && !ipv4 ? "icmpv6" : transport.kind];
	const tos = tosOfDscp(dscp) | ecn;
	const bytes = new Uint8Array(headerBytes + message.length);
	bytes.set(message, headerBytes);
	if (ipv4) {
		bytes.set([0x45, tos]);
		putWord(bytes, 2, bytes.length);
		bytes.set([ttl, protocol], 8);
		bytes.set(source.bytes, 12);
		bytes.set(destination.bytes, 16);
		putWord(bytes, 10, plainChecksum(bytes.subarray(0, headerBytes)));
	} else {
		putWord(bytes, 0, 0x6000 | (tos << 4));
		putWord(bytes, 4, message.length);
		bytes.set([protocol, ttl], 6);
		bytes.set(source.bytes, 8);
		bytes.set(destination.bytes, 24);
	}
	const packet = parsePacket(bytes);
	if (typeof packet === "string") throw new Error(`built a packet that is ${packet}`);
	if (transport.kind === "icmp" && ipv4) putWord(bytes, headerBytes + 2, plainChecksum(message));
	else fillTransportChecksum(bytes, packet);
	return bytes;
}

function transportMessage(transport: PacketTransport, ipv4: boolean): Uint8Array {
	if (transport.kind === "icmp") return Uint8Array.of(ipv4 ? 8 : 128, 0, 0, 0, 0, 1, 0, 1);
	const { kind, sourcePort, destinationPort } = transport;
	const message = new Uint8Array(kind === "tcp" ? 20 : 8);
	putWord(message, 0, sourcePort);
	putWord(message, 2, destinationPort);
	if (kind === "udp") putWord(message, 4, message.length);
	else {
		message.set([5 << 4, 0x02], 12);
		putWord(message, 14, 0xffff);
	}
	return message;
}
