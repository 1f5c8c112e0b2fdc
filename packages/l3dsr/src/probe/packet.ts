/** Encodes the packets of a probe and decodes the possible answers. Pure. */
import {
	type Address,
	addressFromBytes,
	echoRequestPacket,
	type Family,
	ICMP_ERROR_TYPES,
	type IpFields,
	PROTOCOL_NUMBER,
	TCP_FLAG,
	type TcpFields,
	tcpPacket,
	udpPacket,
} from "@l3dsr/packet";

/** The fields of the IP header. */
export interface Envelope {
	readonly source: Address;
	/** In the source's family. */
	readonly destination: Address;
	/** TOS or Traffic Class, including the ECN bits. */
	readonly tos: number;
	/** TTL or hop limit. */
	readonly ttl: number;
}

export interface Ports {
	readonly sourcePort: number;
	readonly destinationPort: number;
}

const WINDOW = 64_240;

/** The content of a packet that may be an answer. */
export type Incoming =
	| (Ports & {
			readonly kind: "tcp";
			readonly flags: number;
			readonly sequence: number;
			readonly acknowledgement: number;
			/** From the headers: the packet's length, not the length of what was captured. */
			readonly dataBytes: number;
	  })
	| (Ports & { readonly kind: "udp" })
	| { readonly kind: "echo-reply"; readonly id: number; readonly sequence: number }
	| {
			readonly kind: "icmp-error";
			readonly type: number;
			readonly code: number;
			/** The next link's MTU in bytes, if the error says that a packet does not fit (RFC 1191, 8201). */
			readonly mtu?: number;
			readonly quoted: Quoted;
	  };

/** The header of one of our packets as an ICMP error quotes it. */
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

/** The segment size that a client on Ethernet announces. */
export const USUAL_SEGMENT_BYTES: Readonly<Record<Family, number>> = { ipv4: 1460, ipv6: 1440 };

/** A connection's first packet, with the one option that every stack sends: the maximum segment size. */
export function encodeSyn(
	envelope: Envelope,
	ports: Ports,
	sequence: number,
	segmentBytes: number = USUAL_SEGMENT_BYTES[envelope.source.family],
): Uint8Array {
	const options = [2, 4, segmentBytes >> 8, segmentBytes & 0xff];
	return encodeSegment(envelope, ports, { sequence, flags: TCP_FLAG.syn, options });
}

/**
 * Resets what a SYN began. `sequence` must be the one that the other side expects next; it accepts no other reset at
 * once (RFC 5961).
 */
export function encodeReset(envelope: Envelope, ports: Ports, sequence: number): Uint8Array {
	return encodeSegment(envelope, ports, { sequence, flags: TCP_FLAG.rst, window: 0 });
}

/** Any segment; the default window is that of a client that has read everything. */
export function encodeSegment(
	envelope: Envelope,
	ports: Ports,
	fields: Omit<TcpFields, keyof Ports | "window"> & { readonly window?: number },
): Uint8Array {
	return tcpPacket(unfragmented(envelope), { window: WINDOW, ...ports, ...fields });
}

export function encodeUdp(envelope: Envelope, ports: Ports, data: Uint8Array): Uint8Array {
	return udpPacket(unfragmented(envelope), { ...ports, data });
}

export function encodeEcho(envelope: Envelope, id: number, sequence: number, data: Uint8Array): Uint8Array {
	return echoRequestPacket(unfragmented(envelope), { id, sequence, data });
}

function unfragmented(envelope: Envelope): IpFields {
	return { ...envelope, dontFragment: true };
}

/** The answer in a packet that begins at its IP header; undefined if it is not an answer or is cut short. */
export function decodePacket(bytes: Uint8Array): IncomingPacket | undefined {
	const header = decodeIp(bytes);
	if (header === undefined) return undefined;
	const content = decodeContent(header);
	if (content === undefined) return undefined;
	const { source, destination, tos } = header;
	return { source, destination, tos, content };
}

interface IpHeader {
	readonly source: Address;
	readonly destination: Address;
	readonly tos: number;
	readonly protocol: number;
	/** As much of the payload as was captured. */
	readonly payload: Uint8Array;
	/** From the header. */
	readonly payloadBytes: number;
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
			payloadBytes: view.getUint16(2) - headerBytes,
		};
	}
	if (version !== 6 || bytes.length < 40) return undefined;
	return {
		source: addressFromBytes(bytes.subarray(8, 24)),
		destination: addressFromBytes(bytes.subarray(24, 40)),
		tos: (view.getUint16(0) >> 4) & 0xff,
		protocol: view.getUint8(6),
		payload: bytes.subarray(40),
		payloadBytes: view.getUint16(4),
	};
}

/** The ICMP types of an echo reply, and those that quote the packet that caused them. */
const ICMP_TYPES = {
	[PROTOCOL_NUMBER.icmp]: { reply: 0, request: 8, errors: ICMP_ERROR_TYPES.ipv4 },
	[PROTOCOL_NUMBER.icmpv6]: { reply: 129, request: 128, errors: ICMP_ERROR_TYPES.ipv6 },
} as const;

function decodeContent({ protocol, payload, payloadBytes }: IpHeader): Incoming | undefined {
	if (payload.length < 8) return undefined;
	const view = viewOf(payload);
	const ports = { sourcePort: view.getUint16(0), destinationPort: view.getUint16(2) };
	if (protocol === PROTOCOL_NUMBER.udp) return { kind: "udp", ...ports };
	if (protocol === PROTOCOL_NUMBER.tcp) {
		if (payload.length < 20) return undefined;
		return {
			kind: "tcp",
			...ports,
			flags: view.getUint8(13),
			sequence: view.getUint32(4),
			acknowledgement: view.getUint32(8),
			dataBytes: Math.max(0, payloadBytes - (view.getUint8(12) >> 4) * 4),
		};
	}
	if (protocol !== PROTOCOL_NUMBER.icmp && protocol !== PROTOCOL_NUMBER.icmpv6) return undefined;
	const [type, code] = [view.getUint8(0), view.getUint8(1)];
	const types = ICMP_TYPES[protocol];
	if (type === types.reply) {
		return { kind: "echo-reply", id: view.getUint16(4), sequence: view.getUint16(6) };
	}
	if (!types.errors.some((error) => error === type)) return undefined;
	const quoted = decodeQuoted(payload.subarray(8));
	if (quoted === undefined) return undefined;
	const error = { kind: "icmp-error", type, code, quoted } as const;
	if (protocol === PROTOCOL_NUMBER.icmp) {
		return type === 3 && code === 4 ? { ...error, mtu: view.getUint16(6) } : error;
	}
	return type === 2 ? { ...error, mtu: view.getUint32(4) } : error;
}

/** RFC 792: the header and at least eight bytes after it. */
function decodeQuoted(bytes: Uint8Array): Quoted | undefined {
	const header = decodeIp(bytes);
	if (header === undefined || header.payload.length < 8) return undefined;
	const { tos, destination, protocol, payload } = header;
	const view = viewOf(payload);
	const ports = { sourcePort: view.getUint16(0), destinationPort: view.getUint16(2) };
	switch (protocol) {
		case PROTOCOL_NUMBER.tcp:
			return { tos, destination, what: { kind: "tcp", ...ports, sequence: view.getUint32(4) } };
		case PROTOCOL_NUMBER.udp:
			return { tos, destination, what: { kind: "udp", ...ports } };
		case PROTOCOL_NUMBER.icmp:
		case PROTOCOL_NUMBER.icmpv6:
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
