/** The packet that an ICMP error quotes: it identifies the flow that the error is about. */
import { byteAt, wordAt } from "./bytes.ts";
import type { ParsedPacket } from "./parse.ts";
import { type Port, portOf } from "./port.ts";
import {
	EXTENSION_HEADER,
	ICMP_ERROR_TYPES,
	IPV4_FRAGMENT,
	IPV6_FRAGMENT_FIELD,
	PORT_PROTOCOLS,
	PROTOCOL_NUMBER,
} from "./protocol.ts";

/** Type, code, checksum, and four bytes that depend on the type. */
const ICMP_BYTES = 8;

/** Offsets count from the network header of the quoting packet. */
export interface Quote {
	readonly source: Uint8Array;
	readonly destination: Uint8Array;
	/** A protocol with ports. */
	readonly protocol: number;
	readonly sourcePort: Port;
	readonly destinationPort: Port;
	/** Offset of the quoted transport header, which may be cut off after the ports. */
	readonly transportOffset: number;
	/** Offset of the ICMP message's own checksum. */
	readonly checksumOffset: number;
}

/**
 * The packet that an ICMP error quotes, if its ports directly follow the quoted IP header (or an IPv6
 * fragment header). Undefined for everything else: not an error, a quoted later fragment, a protocol without
 * ports, a quote that is too short. `bytes` is the packet that `packet` was parsed from. Never throws.
 */
export function quoteOf(bytes: Uint8Array, packet: ParsedPacket): Quote | undefined {
	const { family, transport, length } = packet;
	const icmp = family === "ipv4" ? PROTOCOL_NUMBER.icmp : PROTOCOL_NUMBER.icmpv6;
	if (transport?.protocol !== icmp || packet.protocol !== icmp) return undefined;
	const types: readonly number[] = ICMP_ERROR_TYPES[family];
	const quoted = transport.offset + ICMP_BYTES;
	const addresses = family === "ipv4" ? { at: quoted + 12, bytes: 4 } : { at: quoted + 8, bytes: 16 };
	if (quoted + (family === "ipv4" ? 20 : 40) > length) return undefined;
	if (!types.includes(byteAt(bytes, transport.offset))) return undefined;
	const behind = family === "ipv4" ? behindIpv4(bytes, quoted) : behindIpv6(bytes, quoted, length);
	if (behind === undefined || behind.offset + 4 > length) return undefined;
	if (!PORT_PROTOCOLS.includes(behind.protocol)) return undefined;
	const middle = addresses.at + addresses.bytes;
	return {
		source: bytes.slice(addresses.at, middle),
		destination: bytes.slice(middle, middle + addresses.bytes),
		protocol: behind.protocol,
		sourcePort: portOf(wordAt(bytes, behind.offset)),
		destinationPort: portOf(wordAt(bytes, behind.offset + 2)),
		transportOffset: behind.offset,
		checksumOffset: transport.offset + 2,
	};
}

interface Behind {
	readonly protocol: number;
	readonly offset: number;
}

function behindIpv4(bytes: Uint8Array, at: number): Behind | undefined {
	const header = (byteAt(bytes, at) & 0x0f) * 4;
	if (byteAt(bytes, at) >> 4 !== 4 || header < 20) return undefined;
	if ((wordAt(bytes, at + 6) & IPV4_FRAGMENT.offset) !== 0) return undefined;
	return { protocol: byteAt(bytes, at + 9), offset: at + header };
}

function behindIpv6(bytes: Uint8Array, at: number, length: number): Behind | undefined {
	if (byteAt(bytes, at) >> 4 !== 6) return undefined;
	const next = byteAt(bytes, at + 6);
	const offset = at + 40;
	if (next !== EXTENSION_HEADER.fragment) return { protocol: next, offset };
	if (offset + 4 > length) return undefined;
	if ((wordAt(bytes, offset + 2) & IPV6_FRAGMENT_FIELD.offset) !== 0) return undefined;
	return { protocol: byteAt(bytes, offset), offset: offset + 8 };
}
