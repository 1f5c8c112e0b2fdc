/**
 * Parses an IP packet as ip_tables and ip6_tables do: the protocol that a rule's `-p` compares with, the
 * place of the transport header, and whether this packet contains it.
 */
import type { Family } from "./address.ts";
import { byteAt, wordAt } from "./bytes.ts";
import { CHECKSUM_OFFSET, EXTENSION_HEADER, EXTENSION_LIMIT, PORT_PROTOCOLS } from "./protocol.ts";

/** Headers that the kernel's ipv6_find_hdr skips: `-p` matches the header after them. */
const KERNEL_WALKS: ReadonlySet<number> = new Set([
	EXTENSION_HEADER.hopByHop,
	EXTENSION_HEADER.routing,
	EXTENSION_HEADER.fragment,
	EXTENSION_HEADER.authentication,
	EXTENSION_HEADER.destinationOptions,
]);

/** Further headers that the rewrite skips; for `-p` each of them is the last header. */
const REWRITE_WALKS: ReadonlySet<number> = new Set([
	...KERNEL_WALKS,
	EXTENSION_HEADER.mobility,
	EXTENSION_HEADER.hip,
	EXTENSION_HEADER.shim6,
]);

/** Why the kernel would not accept bytes as an IP packet: its stack drops them before netfilter. */
export type Unreadable = "no-ip-version" | "header-cut" | "length-wrong";

/** Why the transport header cannot be reached although the packet should have one. */
export type Malformed = "transport-cut" | "extension-chain-cut" | "extension-chain-long";

/** A transport header that begins in this packet. Offsets count from the network header. */
export interface Transport {
	readonly protocol: number;
	readonly offset: number;
	/** Offset of the checksum whose pseudo-header contains the destination, if the protocol has one. */
	readonly checksumOffset?: number;
	/** The whole checksum field is in the packet. */
	readonly checksumPresent: boolean;
	/** Both ports are in the packet. */
	readonly portsPresent: boolean;
}

export interface ParsedPacket {
	readonly family: Family;
	/** Length of the IP packet in bytes, without what follows it (link-layer padding). */
	readonly length: number;
	/** IPv4 TOS or IPv6 Traffic Class: DSCP and ECN. */
	readonly tos: number;
	/** TTL or hop limit. */
	readonly ttl: number;
	/** Offset of the destination address: 16 or 24. */
	readonly destinationOffset: number;
	readonly source: Uint8Array;
	readonly destination: Uint8Array;
	/**
	 * The protocol that `-p` compares with; for IPv6, the header at which ipv6_find_hdr stops. Undefined if
	 * it finds none: a broken chain, or a later fragment whose chain begins in the first fragment.
	 */
	readonly protocol?: number;
	/** A fragment other than the first. */
	readonly laterFragment: boolean;
	/** Undefined in later fragments, after "no next header" and in broken extension chains. */
	readonly transport?: Transport;
	/**
	 * A routing header has segments left: the pseudo-header contains another destination than the IP header.
	 */
	readonly routedFurther: boolean;
	readonly malformed?: Malformed;
}

/**
 * Parses the packet at the start of `bytes` (the network header), or returns why it is not a packet. Does not
 * check checksums. `extensionLimit` is the number of IPv6 extension headers to follow. Never throws.
 */
export function parsePacket(bytes: Uint8Array, extensionLimit = EXTENSION_LIMIT): ParsedPacket | Unreadable {
	const first = bytes[0];
	if (first === undefined) return "header-cut";
	if (first >> 4 === 4) return parseIpv4Packet(bytes);
	if (first >> 4 === 6) return parseIpv6Packet(bytes, extensionLimit);
	return "no-ip-version";
}

/** Makes the checks of the kernel's ip_rcv_core, except for the header checksum. */
function parseIpv4Packet(bytes: Uint8Array): ParsedPacket | Unreadable {
	const headerLength = (byteAt(bytes, 0) & 0x0f) * 4;
	if (bytes.length < 20 || headerLength < 20 || bytes.length < headerLength) return "header-cut";
	const length = wordAt(bytes, 2);
	if (length < headerLength || length > bytes.length) return "length-wrong";
	const protocol = byteAt(bytes, 9);
	const laterFragment = (wordAt(bytes, 6) & 0x1fff) !== 0;
	return {
		family: "ipv4",
		length,
		tos: byteAt(bytes, 1),
		ttl: byteAt(bytes, 8),
		destinationOffset: 16,
		source: bytes.slice(12, 16),
		destination: bytes.slice(16, 20),
		protocol,
		laterFragment,
		routedFurther: false,
		...(laterFragment ? {} : transportAt("ipv4", protocol, headerLength, length)),
	};
}

/** Makes the checks of the kernel's ip6_rcv_core. */
function parseIpv6Packet(bytes: Uint8Array, extensionLimit: number): ParsedPacket | Unreadable {
	if (bytes.length < 40) return "header-cut";
	const payloadLength = wordAt(bytes, 4);
	// A jumbogram (RFC 2675) has length 0 here and the real one in the hop-by-hop header: take all bytes.
	const jumbo = payloadLength === 0 && byteAt(bytes, 6) === EXTENSION_HEADER.hopByHop;
	const length = jumbo ? bytes.length : 40 + payloadLength;
	if (length > bytes.length) return "length-wrong";
	return {
		family: "ipv6",
		length,
		tos: (wordAt(bytes, 0) >> 4) & 0xff,
		ttl: byteAt(bytes, 7),
		destinationOffset: 24,
		source: bytes.slice(8, 24),
		destination: bytes.slice(24, 40),
		...walkExtensionHeaders(bytes, length, extensionLimit),
	};
}

type ChainEnd = Pick<
	ParsedPacket,
	"protocol" | "laterFragment" | "transport" | "routedFurther" | "malformed"
>;

function walkExtensionHeaders(bytes: Uint8Array, length: number, limit: number): ChainEnd {
	let header = byteAt(bytes, 6);
	let offset = 40;
	let routedFurther = false;
	/** Set at the first header that ipv6_find_hdr does not skip. */
	let protocol: number | undefined;
	const broken = (malformed: Malformed): ChainEnd => ({
		...(protocol === undefined ? {} : { protocol }),
		laterFragment: false,
		routedFurther,
		malformed,
	});
	for (let walked = 0; REWRITE_WALKS.has(header); walked++) {
		if (!KERNEL_WALKS.has(header)) protocol ??= header;
		if (walked >= limit) return broken("extension-chain-long");
		// The bytes that ipv6_find_hdr requires; a header may still extend past the end of the packet.
		const needed = header === EXTENSION_HEADER.routing || header === EXTENSION_HEADER.fragment ? 4 : 2;
		if (offset + needed > length) return broken("extension-chain-cut");
		const next = byteAt(bytes, offset);
		let size = (byteAt(bytes, offset + 1) + 1) * 8;
		if (header === EXTENSION_HEADER.authentication) size = (byteAt(bytes, offset + 1) + 2) * 4;
		if (header === EXTENSION_HEADER.routing && byteAt(bytes, offset + 3) > 0) routedFurther = true;
		if (header === EXTENSION_HEADER.fragment) {
			size = 8;
			if ((wordAt(bytes, offset + 2) & 0xfff8) !== 0) {
				if (!KERNEL_WALKS.has(next)) protocol ??= next;
				return { ...(protocol === undefined ? {} : { protocol }), laterFragment: true, routedFurther };
			}
		}
		header = next;
		offset += size;
	}
	protocol ??= header;
	if (header === EXTENSION_HEADER.noNextHeader) return { protocol, laterFragment: false, routedFurther };
	return { protocol, laterFragment: false, routedFurther, ...transportAt("ipv6", header, offset, length) };
}

function transportAt(
	family: Family,
	protocol: number,
	offset: number,
	length: number,
): { transport: Transport; malformed?: Malformed } {
	const offsets: Readonly<Record<number, number>> = CHECKSUM_OFFSET[family];
	const inHeader = offsets[protocol];
	const ports = PORT_PROTOCOLS.includes(protocol);
	const transport: Transport = {
		protocol,
		offset,
		...(inHeader === undefined ? {} : { checksumOffset: offset + inHeader }),
		checksumPresent: inHeader !== undefined && offset + inHeader + 2 <= length,
		portsPresent: ports && offset + 4 <= length,
	};
	const cut = (inHeader !== undefined && !transport.checksumPresent) || (ports && !transport.portsPresent);
	// After an extension header that extends past the end, the chain is cut.
	if (cut) return { transport, malformed: offset > length ? "extension-chain-cut" : "transport-cut" };
	return { transport };
}
