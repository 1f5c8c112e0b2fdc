/** What the DADDR target does to the bytes of a packet. */
import {
	CHECKSUM_OFFSET,
	type ParsedPacket,
	PROTOCOL_NUMBER,
	putWord,
	quoteOf,
	replaceInChecksum,
	type Transport,
	wordAt,
} from "@l3dsr/packet";
import type { DaddrTarget } from "../../model/rule.ts";

/** Offset of the checksum in an IPv4 header. */
const HEADER_CHECKSUM_OFFSET = 10;

/** Rewrites `bytes` in place; `packet` was parsed from them, and has the target's family. */
export function rewritePacket(bytes: Uint8Array, packet: ParsedPacket, target: DaddrTarget): void {
	const before = packet.destination;
	const after = Uint8Array.from(target.daddr.bytes);
	replaceInHeader(bytes, packet, packet.destinationOffset, after);
	if (target.clearDscp) {
		// The first 16 bits hold the TOS byte (IPv4) or the Traffic Class (IPv6); the ECN bits stay.
		const dscpBits = packet.family === "ipv4" ? 0x00fc : 0x0fc0;
		const word = wordAt(bytes, 0) & ~dscpBits;
		replaceInHeader(bytes, packet, 0, Uint8Array.of(word >> 8, word & 0xff));
	}

	if (target.dport !== undefined && target.icmpErrors === true) setQuotedPort(bytes, packet, target.dport);
	const { transport } = packet;
	if (transport?.checksumOffset === undefined || !transport.checksumPresent) return;
	if (!packet.routedFurther) replaceInTransportChecksum(bytes, transport, before, after);
	if (target.dport !== undefined && transport.portsPresent) {
		const portOffset = transport.offset + 2;
		const oldPort = bytes.slice(portOffset, portOffset + 2);
		putWord(bytes, portOffset, target.dport);
		const newPort = bytes.slice(portOffset, portOffset + 2);
		replaceInTransportChecksum(bytes, transport, oldPort, newPort);
	}
}

/**
 * In an ICMP error: sets the port to the one that the server answered from, before its answer was translated. The
 * quoted checksum stays; that of the message is updated.
 */
function setQuotedPort(bytes: Uint8Array, packet: ParsedPacket, port: number): void {
	const quote = quoteOf(bytes, packet);
	if (quote === undefined || !(quote.protocol in CHECKSUM_OFFSET.ipv4)) return;
	replaceQuotedPort(bytes, quote.transportOffset, quote.checksumOffset, port);
}

/** Stores a port at `offset` of an ICMP message whose checksum is at `checksumOffset`. */
export function replaceQuotedPort(
	bytes: Uint8Array,
	offset: number,
	checksumOffset: number,
	port: number,
): void {
	const before = bytes.slice(offset, offset + 2);
	putWord(bytes, offset, port);
	const after = bytes.slice(offset, offset + 2);
	putWord(bytes, checksumOffset, replaceInChecksum(wordAt(bytes, checksumOffset), before, after));
}

/** Stores `after` at `offset` of the IP header, and in IPv4 updates the header checksum. */
function replaceInHeader(bytes: Uint8Array, packet: ParsedPacket, offset: number, after: Uint8Array): void {
	if (packet.family === "ipv4") {
		const before = bytes.slice(offset, offset + after.length);
		const checksum = replaceInChecksum(wordAt(bytes, HEADER_CHECKSUM_OFFSET), before, after);
		putWord(bytes, HEADER_CHECKSUM_OFFSET, checksum);
	}
	bytes.set(after, offset);
}

export function replaceInTransportChecksum(
	bytes: Uint8Array,
	transport: Transport,
	before: Uint8Array,
	after: Uint8Array,
): void {
	const { checksumOffset, protocol } = transport;
	if (checksumOffset === undefined) return;
	const old = wordAt(bytes, checksumOffset);
	// A UDP checksum of 0 means none (RFC 768, RFC 6935) and stays; a computed 0 is sent as 0xffff.
	if (protocol === PROTOCOL_NUMBER.udp && old === 0) return;
	const updated = replaceInChecksum(old, before, after);
	const zeroIsSpecial = protocol === PROTOCOL_NUMBER.udp || protocol === PROTOCOL_NUMBER.udplite;
	putWord(bytes, checksumOffset, updated === 0 && zeroIsSpecial ? 0xffff : updated);
}
