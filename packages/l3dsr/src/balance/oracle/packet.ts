/** Reads a packet for a VIP as the director does: how far it can be parsed, and if not, why. */
import type { Reason } from "../reason.ts";

export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;
export const ICMPV6 = 58;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;
const MOBILITY = 135;
const HIP = 139;
const SHIM6 = 140;
const EXTENSIONS = [HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS, MOBILITY, HIP, SHIM6];
const MOST_EXTENSIONS = 8;

const END_OF_OPTIONS = 0;
const NO_OPERATION = 1;
const LOOSE_SOURCE_ROUTE = 131;
const STRICT_SOURCE_ROUTE = 137;

/** A packet's place in a fragmented datagram. */
export interface Fragment {
	readonly identification: Uint8Array;
	/** The protocol of the datagram, the same in all fragments. */
	readonly protocol: number;
	/** In bytes. */
	readonly offset: number;
	/** The first of several fragments: at offset 0, with more to follow. */
	readonly isFirst: boolean;
}

/** Offsets count from the network header. */
export interface ReadPacket {
	/** The protocol of the transport header. */
	readonly protocol: number;
	readonly transport: number;
	/** Length of the IP packet; bytes beyond it are padding. */
	readonly length: number;
	readonly fragment?: Fragment;
}

export function wordAt(bytes: Uint8Array, offset: number): number {
	return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
}

/** `bytes`: from the network header, at least as long as a header without options, and of version 4. */
export function readIpv4(bytes: Uint8Array): ReadPacket | Reason {
	const header = ((bytes[0] ?? 0) & 15) * 4;
	const length = wordAt(bytes, 2);
	if (header < 20 || length < header || length > bytes.length) return "length";
	if (!optionsAllowed(bytes.subarray(20, header))) return "options";
	const protocol = bytes[9] ?? 0;
	const offset = (wordAt(bytes, 6) & 0x1fff) * 8;
	const more = (wordAt(bytes, 6) & 0x2000) !== 0;
	const fragment = { identification: bytes.slice(4, 6), protocol, offset, isFirst: offset === 0 && more };
	return { protocol, transport: header, length, ...(offset > 0 || more ? { fragment } : {}) };
}

/** True if the options can be parsed and contain no source route. */
function optionsAllowed(options: Uint8Array): boolean {
	for (let at = 0; at < options.length; ) {
		const type = options[at];
		if (type === END_OF_OPTIONS) return true;
		if (type === LOOSE_SOURCE_ROUTE || type === STRICT_SOURCE_ROUTE) return false;
		const size = type === NO_OPERATION ? 1 : (options[at + 1] ?? 0);
		if (type !== NO_OPERATION && (at + 1 >= options.length || size < 2)) return false;
		at += size;
		if (at > options.length) return false;
	}
	return true;
}

/** `bytes`: from the network header, at least 40 bytes, and of version 6. */
export function readIpv6(bytes: Uint8Array): ReadPacket | Reason {
	const length = 40 + wordAt(bytes, 4);
	if (length > bytes.length) return "length";
	let protocol = bytes[6] ?? 0;
	let transport = 40;
	let fragment: Fragment | undefined;
	for (let walked = 0; EXTENSIONS.includes(protocol); walked++) {
		if (walked === MOST_EXTENSIONS || transport + 8 > length) return "extensions";
		const next = bytes[transport] ?? 0;
		if (protocol === ROUTING && (bytes[transport + 3] ?? 0) > 0) return "extensions";
		if (protocol === FRAGMENT) {
			const offset = wordAt(bytes, transport + 2) & 0xfff8;
			const more = (wordAt(bytes, transport + 2) & 1) !== 0;
			const identification = bytes.slice(transport + 4, transport + 8);
			if (offset > 0 || more) fragment = { identification, protocol: next, offset, isFirst: offset === 0 };
			if (offset > 0) {
				const later = { identification, protocol: next, offset, isFirst: false };
				return { protocol: next, transport: transport + 8, length, fragment: later };
			}
		}
		transport += extensionBytes(protocol, bytes[transport + 1] ?? 0);
		protocol = next;
	}
	if (transport > length) return "extensions";
	return { protocol, transport, length, ...(fragment === undefined ? {} : { fragment }) };
}

function extensionBytes(header: number, length: number): number {
	if (header === FRAGMENT) return 8;
	return header === AUTHENTICATION ? (length + 2) * 4 : (length + 1) * 8;
}

/** A flow in the direction from client to VIP. */
export interface Flow {
	readonly protocol: number;
	readonly source: Uint8Array;
	readonly sourcePort: number;
	readonly destinationPort: number;
}

/** The least that a router quotes of the quoted packet's transport header, in bytes. */
const QUOTED_BYTES = 8;

/**
 * The flow of a packet from `vip` that an ICMP error quotes, in the direction from its client. Undefined if the error
 * quotes anything else. `icmp`: from the ICMP header to the end of the packet.
 */
export function quotedFlow(icmp: Uint8Array, vip: Uint8Array): Flow | undefined {
	const family = vip.length === 4 ? 4 : 6;
	const type = icmp[0] ?? 0;
	if (!(family === 4 ? [3, 11, 12] : [1, 2, 3, 4]).includes(type)) return undefined;
	const quoted = icmp.subarray(8);
	if (quoted.length < (family === 4 ? 20 : 40) || (quoted[0] ?? 0) >> 4 !== family) return undefined;
	const [from, bytes] = family === 4 ? [12, 4] : [8, 16];
	if (Buffer.compare(quoted.subarray(from, from + bytes), vip) !== 0) return undefined;
	const at = family === 4 ? quotedTransport4(quoted) : quotedTransport6(quoted);
	if (at === undefined || at.offset + QUOTED_BYTES > quoted.length) return undefined;
	if (at.protocol !== TCP && at.protocol !== UDP) return undefined;
	return {
		protocol: at.protocol,
		source: quoted.slice(from + bytes, from + 2 * bytes),
		sourcePort: wordAt(quoted, at.offset + 2),
		destinationPort: wordAt(quoted, at.offset),
	};
}

interface Found {
	readonly protocol: number;
	readonly offset: number;
}

function quotedTransport4(quoted: Uint8Array): Found | undefined {
	const header = ((quoted[0] ?? 0) & 15) * 4;
	if (header < 20 || (wordAt(quoted, 6) & 0x1fff) !== 0) return undefined;
	return { protocol: quoted[9] ?? 0, offset: header };
}

/** After at most one extension header. */
function quotedTransport6(quoted: Uint8Array): Found | undefined {
	const header = quoted[6] ?? 0;
	if (!EXTENSIONS.includes(header)) return { protocol: header, offset: 40 };
	if (quoted.length < 48) return undefined;
	if (header === FRAGMENT && (wordAt(quoted, 42) & 0xfff8) !== 0) return undefined;
	return { protocol: quoted[40] ?? 0, offset: 40 + extensionBytes(header, quoted[41] ?? 0) };
}

/** True if a packet may have this source. */
export function isClientAddress(source: Uint8Array, vip: Uint8Array): boolean {
	if (Buffer.compare(source, vip) === 0) return false;
	const first = source[0] ?? 0;
	if (source.length === 4) return first !== 0 && first !== 127 && first < 224;
	// Not the unspecified address, loopback or mapped IPv4; not link-local, site-local or multicast.
	return source.subarray(0, 8).some((byte) => byte !== 0) && wordAt(source, 0) < 0xfe80;
}
