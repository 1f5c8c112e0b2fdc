/** Packets that nft treats differently from the oracle: docs/reference/nft-limits.md. */

import { EXTENSION_HEADER, type ParsedPacket, PROTOCOL_NUMBER, quoteOf } from "@l3dsr/packet";

/** Limits of nft, by their headings in docs/reference/nft-limits.md. */
export type Limit =
	| "IPv4: TCP or UDP-Lite cut short"
	| "ICMPv6 in IPv4"
	| "DCCP"
	| "OSPFv3"
	| "transport behind an authentication, mobility, HIP or shim6 header"
	| "a second routing header"
	| "UDP-Lite ports"
	| "IPv4 options in what an ICMP error quotes";

export function limitOf(bytes: Uint8Array, packet: ParsedPacket, setsPort: boolean): Limit | undefined {
	const { family, transport, laterFragment } = packet;
	if (laterFragment) return undefined;
	if (family === "ipv6" && extensionHeaders(bytes).some((one) => HIDING.has(one))) {
		return "transport behind an authentication, mobility, HIP or shim6 header";
	}
	if (transport === undefined) return undefined;
	if (
		family === "ipv6" &&
		extensionHeaders(bytes).filter((one) => one === EXTENSION_HEADER.routing).length > 1
	) {
		return "a second routing header";
	}
	const { protocol, checksumPresent } = transport;
	if (family === "ipv4") {
		if ((protocol === PROTOCOL_NUMBER.tcp || protocol === PROTOCOL_NUMBER.udplite) && !checksumPresent) {
			return "IPv4: TCP or UDP-Lite cut short";
		}
		if (protocol === PROTOCOL_NUMBER.icmpv6) return "ICMPv6 in IPv4";
		if (quoteOf(bytes, packet) !== undefined && (bytes[transport.offset + 8] ?? 0) !== 0x45)
			return "IPv4 options in what an ICMP error quotes";
	} else if (protocol === PROTOCOL_NUMBER.ospf && checksumPresent) return "OSPFv3";
	if (protocol === PROTOCOL_NUMBER.dccp && checksumPresent) return "DCCP";
	return protocol === PROTOCOL_NUMBER.udplite && setsPort && checksumPresent ? "UDP-Lite ports" : undefined;
}

const { hopByHop, routing, fragment, authentication, destinationOptions, mobility, hip, shim6 } =
	EXTENSION_HEADER;
/** Headers that nft does not look behind. */
const HIDING: ReadonlySet<number> = new Set([authentication, mobility, hip, shim6]);
const WALKED: ReadonlySet<number> = new Set([hopByHop, routing, fragment, destinationOptions, ...HIDING]);

/** The headers of an IPv6 packet before its transport header. */
function extensionHeaders(bytes: Uint8Array): number[] {
	const headers: number[] = [];
	let header = bytes[6] ?? 59;
	for (let at = 40; at + 2 <= bytes.length && WALKED.has(header); ) {
		headers.push(header);
		const length = bytes[at + 1] ?? 0;
		const size = header === fragment ? 8 : header === authentication ? (length + 2) * 4 : (length + 1) * 8;
		header = bytes[at] ?? 59;
		at += size;
	}
	return headers;
}
