/**
 * Builds packets from a readable description: `ipv4({ destination: "192.0.2.1", dscp: 7 },
 * tcp({ destinationPort: 80 }))`.
 *
 * Lengths and checksums are right unless they are given. It is independent of the datapaths that it tests:
 * checksums are computed in full here.
 */
import { parseAddress } from "@l3dsr/packet";

/** The fields of a transport checksum's pseudo-header. */
export interface PseudoHeader {
	readonly source: readonly number[];
	/** The packet's final destination: with a routing header, not the one in the IP header. */
	readonly destination: readonly number[];
}

/** A payload of an IP packet. */
export interface Payload {
	/** IP protocol number, or IPv6 next header. */
	readonly protocol: number;
	encode(pseudo: PseudoHeader): Uint8Array;
}

export function addressBytes(text: string): readonly number[] {
	const address = parseAddress(text);
	if (address === undefined) throw new RangeError(`${text} is not an address`);
	return address.bytes;
}

/** Lists of bytes, strings and 16-bit words become one array. */
type Piece = string | Uint8Array | readonly number[] | { readonly word: number } | { readonly long: number };

export function bytesOf(...pieces: readonly Piece[]): Uint8Array {
	const parts = pieces.map((piece) => {
		if (typeof piece === "string") return Buffer.from(piece, "latin1");
		if ("word" in piece) return Uint8Array.of(piece.word >> 8, piece.word);
		if ("long" in piece) return bytesOf({ word: piece.long >>> 16 }, { word: piece.long & 0xffff });
		return Uint8Array.from(piece);
	});
	return Uint8Array.from(Buffer.concat(parts));
}

export function word(value: number): { word: number } {
	return { word: value & 0xffff };
}

/** RFC 1071, over all bytes together. */
export function internetChecksum(...parts: readonly (Uint8Array | readonly number[])[]): number {
	const bytes = bytesOf(...parts);
	let sum = 0;
	for (let i = 0; i < bytes.length; i++) sum += i % 2 === 0 ? (bytes[i] ?? 0) * 256 : (bytes[i] ?? 0);
	while (sum >= 0x10000) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
	return 0xffff - sum;
}

/** A checksum field: right, right plus an error (in ones' complement), or a given value. */
export interface ChecksumChoice {
	readonly checksum?: number;
	/** 1–0xfffe: makes the checksum wrong by this much. */
	readonly checksumError?: number;
}

function chosenChecksum(right: number, choice: ChecksumChoice): number {
	if (choice.checksum !== undefined) return choice.checksum;
	const sum = right + (choice.checksumError ?? 0);
	return sum > 0xffff ? sum - 0xffff : sum;
}

/**
 * The checksum of a message with pseudo-header; `covered` limits the summed bytes (UDP-Lite), but the
 * pseudo-header has the length of the whole message.
 */
function transportChecksum(
	protocol: number,
	message: Uint8Array,
	{ source, destination }: PseudoHeader,
	covered = message.length,
): number {
	const pseudo =
		source.length === 4
			? bytesOf(source, destination, [0, protocol], word(message.length))
			: bytesOf(source, destination, { long: message.length }, [0, 0, 0, protocol]);
	return internetChecksum(pseudo, message.subarray(0, covered));
}

export function withChecksum(message: Uint8Array, offset: number, checksum: number): Uint8Array {
	message.set([checksum >> 8, checksum & 0xff], offset);
	return message;
}

export interface Ipv4Fields extends ChecksumChoice {
	readonly source?: string;
	readonly destination?: string;
	readonly dscp?: number;
	readonly ecn?: number;
	readonly ttl?: number;
	readonly id?: number;
	readonly dontFragment?: boolean;
	/** The length must be a multiple of four. */
	readonly options?: readonly number[];
	readonly version?: number;
	readonly headerWords?: number;
	readonly totalLength?: number;
}

export function ipv4(fields: Ipv4Fields, payload: Payload): Uint8Array {
	const source = addressBytes(fields.source ?? "198.51.100.1");
	const destination = addressBytes(fields.destination ?? "192.0.2.10");
	const options = fields.options ?? [];
	const body = payload.encode({ source, destination });
	const header = bytesOf(
		[((fields.version ?? 4) << 4) | (fields.headerWords ?? 5 + options.length / 4)],
		[((fields.dscp ?? 0) << 2) | (fields.ecn ?? 0)],
		word(fields.totalLength ?? 20 + options.length + body.length),
		word(fields.id ?? 0),
		word(fields.dontFragment ? 0x4000 : 0),
		[fields.ttl ?? 64, payload.protocol, 0, 0],
		source,
		destination,
		options,
	);
	withChecksum(header, 10, chosenChecksum(internetChecksum(header), fields));
	return bytesOf(header, body);
}

export interface Ipv6Fields {
	readonly source?: string;
	readonly destination?: string;
	readonly dscp?: number;
	readonly ecn?: number;
	readonly hopLimit?: number;
	readonly flowLabel?: number;
	readonly extensions?: readonly Extension[];
	readonly version?: number;
	readonly payloadLength?: number;
}

/** An IPv6 extension header. */
export interface Extension {
	readonly number: number;
	/** The final destination of a packet with a routing header. */
	readonly finalDestination?: string;
	encode(nextHeader: number): Uint8Array;
}

export function ipv6(fields: Ipv6Fields, payload: Payload): Uint8Array {
	const source = addressBytes(fields.source ?? "2001:db8:c::1");
	const destination = addressBytes(fields.destination ?? "2001:db8:a::10");
	const extensions = fields.extensions ?? [];
	const final = extensions.findLast((extension) => extension.finalDestination !== undefined);
	const body = payload.encode({
		source,
		destination: final?.finalDestination === undefined ? destination : addressBytes(final.finalDestination),
	});
	const numbers = [...extensions.map((extension) => extension.number), payload.protocol];
	const chain = bytesOf(...extensions.map((extension, i) => extension.encode(numbers[i + 1] ?? 59)));
	const trafficClass = ((fields.dscp ?? 0) << 2) | (fields.ecn ?? 0);
	return bytesOf(
		[((fields.version ?? 6) << 4) | (trafficClass >> 4)],
		[((trafficClass & 0x0f) << 4) | ((fields.flowLabel ?? 0) >> 16)],
		word(fields.flowLabel ?? 0),
		word(fields.payloadLength ?? chain.length + body.length),
		[numbers[0] ?? 59, fields.hopLimit ?? 64],
		source,
		destination,
		chain,
		body,
	);
}

/** Filled with one experimental option of RFC 4727, which unaware hosts skip. */
function optionsHeader(number: number, units: number): Extension {
	const data = units * 8 - 4;
	return {
		number,
		encode: (next) => bytesOf([next, units - 1, 0x1e, data], new Uint8Array(data)),
	};
}

/** Its length field extends past the end of the packet. */
function overlong(extension: Extension, units: number): Extension {
	return {
		...extension,
		encode(next) {
			const bytes = extension.encode(next);
			bytes[1] = units;
			return bytes;
		},
	};
}

export const extension = {
	hopByHop: (units = 1): Extension => optionsHeader(0, units),
	destinationOptions: (units = 1): Extension => optionsHeader(60, units),
	/**
	 * Type 4 (RFC 8754) without TLVs; the pseudo-header has the last segment, which is the first in the list.
	 */
	routing: (segmentsLeft: number, finalDestination: string): Extension => ({
		number: 43,
		...(segmentsLeft > 0 ? { finalDestination } : {}),
		encode: (next) => bytesOf([next, 2, 4, segmentsLeft, 0, 0, 0, 0], addressBytes(finalDestination)),
	}),
	/** RFC 4302, with an integrity value of twelve bytes; the length is in units of four bytes, minus two. */
	authentication: (): Extension => ({
		number: 51,
		encode: (next) => bytesOf([next, 4, 0, 0], { long: 0x1001 }, { long: 1 }, "integrity ok"),
	}),
	/** RFC 6275: the payload protocol is 59 in practice; type 0 is a binding refresh request. */
	mobility: (): Extension => ({ number: 135, encode: (next) => bytesOf([next, 0, 0, 0, 0, 0, 0, 0]) }),
	hip: (): Extension => ({
		number: 139,
		encode: (next) => bytesOf([next, 4, 1, 0x21, 0, 0, 0, 0], new Uint8Array(32)),
	}),
	shim6: (): Extension => ({ number: 140, encode: (next) => bytesOf([next, 0, 0x80, 0, 0, 0, 0, 1]) }),
	/** `offset` in bytes, a multiple of eight. */
	fragment: (offset: number, more: boolean, id = 0x1d5f): Extension => ({
		number: 44,
		encode: (next) => bytesOf([next, 0], word(offset | (more ? 1 : 0)), { long: id }),
	}),
	overlong,
} as const;

export interface PortFields extends ChecksumChoice {
	readonly sourcePort?: number;
	readonly destinationPort?: number;
	readonly data?: string | Uint8Array;
}

function ports(fields: PortFields): Uint8Array {
	return bytesOf(word(fields.sourcePort ?? 40000), word(fields.destinationPort ?? 80));
}

function dataOf(fields: PortFields): Uint8Array {
	return bytesOf(fields.data ?? "payload of a test");
}

export function tcp(fields: PortFields & { readonly options?: readonly number[] } = {}): Payload {
	const options = fields.options ?? [];
	return {
		protocol: 6,
		encode(pseudo) {
			const message = bytesOf(
				ports(fields),
				{ long: 0x01020304 },
				{ long: 0x0a0b0c0d },
				[((5 + options.length / 4) << 4) & 0xf0, 0x18],
				word(0xfaf0),
				[0, 0, 0, 0],
				options,
				dataOf(fields),
			);
			return withChecksum(message, 16, chosenChecksum(transportChecksum(6, message, pseudo), fields));
		},
	};
}

export function udp(fields: PortFields = {}): Payload {
	return {
		protocol: 17,
		encode(pseudo) {
			const data = dataOf(fields);
			const message = bytesOf(ports(fields), word(8 + data.length), [0, 0], data);
			const right = transportChecksum(17, message, pseudo) || 0xffff;
			return withChecksum(message, 6, chosenChecksum(right, fields) || (fields.checksum ?? 0xffff));
		},
	};
}

/** `coverage` in bytes as in RFC 3828: 0 for all, else at least 8. */
export function udpLite(fields: PortFields & { readonly coverage?: number } = {}): Payload {
	return {
		protocol: 136,
		encode(pseudo) {
			const message = bytesOf(ports(fields), word(fields.coverage ?? 0), [0, 0], dataOf(fields));
			const covered = fields.coverage || message.length;
			const right = transportChecksum(136, message, pseudo, covered) || 0xffff;
			return withChecksum(message, 6, chosenChecksum(right, fields) || (fields.checksum ?? 0xffff));
		},
	};
}

/**
 * A DCCP-Data packet with a long sequence number (RFC 4340 section 5.1), with the checksum over everything.
 */
export function dccp(fields: PortFields = {}): Payload {
	return {
		protocol: 33,
		encode(pseudo) {
			const message = bytesOf(ports(fields), [4, 0, 0, 0, 0x05, 0, 0, 0], { long: 77 }, dataOf(fields));
			return withChecksum(message, 6, chosenChecksum(transportChecksum(33, message, pseudo), fields));
		},
	};
}

/** One DATA chunk. The CRC is not computed, because no host on the way checks it or may change it. */
export function sctp(fields: PortFields = {}): Payload {
	return {
		protocol: 132,
		encode: () =>
			bytesOf(ports(fields), { long: 0xdeadbeef }, { long: 0x5c7bc5c5 }, [0, 3, 0, 20], dataOf(fields)),
	};
}

/** Echo request. */
export function icmp(data: string | Uint8Array = "ping", type = 8): Payload {
	return {
		protocol: 1,
		encode() {
			const message = bytesOf([type, 0, 0, 0], word(0x4711), word(1), data);
			return withChecksum(message, 2, internetChecksum(message));
		},
	};
}

/** Echo request. */
export function icmpv6(fields: ChecksumChoice & { data?: string | Uint8Array; type?: number } = {}): Payload {
	return {
		protocol: 58,
		encode(pseudo) {
			const message = bytesOf([fields.type ?? 128, 0, 0, 0], word(0x4711), word(1), fields.data ?? "ping");
			return withChecksum(message, 2, chosenChecksum(transportChecksum(58, message, pseudo), fields));
		},
	};
}

/** An ICMP error about `quoted`, the start of a packet; default type: IPv4's "fragmentation needed". */
export function icmpError(quoted: Uint8Array, type = 3, code = 4): Payload {
	return {
		protocol: 1,
		encode() {
			const message = bytesOf([type, code, 0, 0], word(0), word(1400), quoted);
			return withChecksum(message, 2, internetChecksum(message));
		},
	};
}

/** An ICMPv6 error about `quoted`, the start of a packet; default type: "packet too big". */
export function icmpv6Error(quoted: Uint8Array, type = 2, code = 0): Payload {
	return {
		protocol: 58,
		encode(pseudo) {
			const message = bytesOf([type, code, 0, 0], { long: 1400 }, quoted);
			return withChecksum(message, 2, transportChecksum(58, message, pseudo));
		},
	};
}

/** A hello packet without neighbours (RFC 5340 appendix A.3.2). */
export function ospfv3(fields: ChecksumChoice = {}): Payload {
	return {
		protocol: 89,
		encode(pseudo) {
			const message = bytesOf(
				[3, 1],
				word(36),
				addressBytes("10.0.0.1"),
				[0, 0, 0, 0, 0, 0, 0, 0],
				{
					long: 5,
				},
				[1, 0, 0, 0x13, 0, 10, 0, 40],
				[0, 0, 0, 0, 0, 0, 0, 0],
			);
			return withChecksum(message, 12, chosenChecksum(transportChecksum(89, message, pseudo), fields));
		},
	};
}

/** Any protocol with unchanged bytes: GRE, ESP, a truncated transport header … */
export function raw(protocol: number, data: string | readonly number[] | Uint8Array): Payload {
	return { protocol, encode: () => bytesOf(data) };
}

/** The first `length` bytes of another payload, as it is encoded for the given pseudo-header. */
export function cut(payload: Payload, length: number): Payload {
	return { protocol: payload.protocol, encode: (pseudo) => payload.encode(pseudo).slice(0, length) };
}

export interface EthernetFields {
	readonly source?: string;
	readonly destination?: string;
	/** Outermost first; a priority tag has id 0. */
	readonly vlans?: readonly { readonly id: number; readonly priority?: number; readonly tpid?: number }[];
	readonly etherType?: number;
	/** Shorter frames are padded with zeros, as by network cards; default 0. */
	readonly minimumBytes?: number;
}

export function macBytes(text: string): readonly number[] {
	return text.split(":").map((part) => Number.parseInt(part, 16));
}

export function ethernet(fields: EthernetFields, packet: Uint8Array): Uint8Array {
	const etherType = fields.etherType ?? ((packet[0] ?? 0) >> 4 === 6 ? 0x86dd : 0x0800);
	const frame = bytesOf(
		macBytes(fields.destination ?? "02:00:00:00:00:02"),
		macBytes(fields.source ?? "02:00:00:00:00:01"),
		...(fields.vlans ?? []).flatMap(({ id, priority = 0, tpid = 0x8100 }) => [
			word(tpid),
			word((priority << 13) | id),
		]),
		word(etherType),
		packet,
	);
	return bytesOf(frame, new Uint8Array(Math.max(0, (fields.minimumBytes ?? 0) - frame.length)));
}
