/** Verifies the checksums of a packet by summing all of its bytes. */
import { byteAt, putWord, wordAt } from "./bytes.ts";
import { foldSum, internetChecksum, pseudoHeaderSum, sumOfWords } from "./checksum.ts";
import type { ParsedPacket } from "./parse.ts";
import { EXTENSION_HEADER, PROTOCOL_NUMBER } from "./protocol.ts";

/** `none`: a UDP datagram without a checksum. `unknown`: some covered bytes are missing; `why` names them. */
export type ChecksumVerdict =
	| { readonly verdict: "good" | "bad" | "none" }
	| { readonly verdict: "unknown"; readonly why: string };

export interface Checksums {
	/** IPv4 only. */
	readonly header?: ChecksumVerdict;
	/** For protocols with a checksum that covers the addresses. */
	readonly transport?: ChecksumVerdict;
}

/** `complete`: all bytes of the packet were captured; `bytes` has zeros for missing ones. */
export function verifyChecksums(bytes: Uint8Array, packet: ParsedPacket, complete: boolean): Checksums {
	const transport = transportVerdict(bytes, packet, complete);
	if (packet.family === "ipv6") return transport === undefined ? {} : { transport };
	const header = bytes.subarray(0, (byteAt(bytes, 0) & 0x0f) * 4);
	const good = foldSum(sumOfWords(header)) === 0xffff;
	return { header: { verdict: good ? "good" : "bad" }, ...(transport === undefined ? {} : { transport }) };
}

function transportVerdict(
	bytes: Uint8Array,
	packet: ParsedPacket,
	complete: boolean,
): ChecksumVerdict | undefined {
	const { transport, length } = packet;
	if (transport?.checksumOffset === undefined) return undefined;
	const unknown = (why: string): ChecksumVerdict => ({ verdict: "unknown", why });
	if (!transport.checksumPresent) return unknown("it is cut off");
	const checksum = wordAt(bytes, transport.checksumOffset);
	if (transport.protocol === PROTOCOL_NUMBER.udp && checksum === 0) return { verdict: "none" };
	if (packet.routedFurther) return unknown("it covers the last address of the routing header");
	if (isFragment(bytes, packet)) return unknown("it covers the other fragments too");
	if (!complete) return unknown("not all of the packet was captured");
	const message = bytes.subarray(transport.offset, length);
	const sum = sumOfWords(coveredBy(transport.protocol, message)) + pseudoHeaderOf(packet, message.length);
	return { verdict: foldSum(sum) === 0xffff ? "good" : "bad" };
}

/**
 * The sender left the checksum to its network card (CHECKSUM_PARTIAL), and the packet was captured before
 * that: the field contains only the sum of the pseudo-header. Applies to whole packets of TCP and UDP, the
 * only protocols with this offload.
 */
export function isLeftToInterface(bytes: Uint8Array, packet: ParsedPacket): boolean {
	const { transport, length } = packet;
	if (transport?.checksumOffset === undefined || !transport.checksumPresent) return false;
	const { protocol, offset, checksumOffset } = transport;
	if (protocol !== PROTOCOL_NUMBER.tcp && protocol !== PROTOCOL_NUMBER.udp) return false;
	const pseudo = foldSum(pseudoHeaderOf(packet, length - offset));
	return wordAt(bytes, checksumOffset) === pseudo && transportVerdict(bytes, packet, true)?.verdict === "bad";
}

/** The covered bytes: everything, unless UDP-Lite (RFC 3828) or DCCP (RFC 4340, 9.2) covers less. */
function coveredBy(protocol: number, message: Uint8Array): Uint8Array {
	if (protocol === PROTOCOL_NUMBER.udplite) {
		const coverage = wordAt(message, 4);
		return coverage === 0 ? message : message.subarray(0, coverage);
	}
	const dataWords = protocol === PROTOCOL_NUMBER.dccp ? byteAt(message, 5) & 0x0f : 0;
	if (dataWords === 0) return message;
	return message.subarray(0, (byteAt(message, 4) + dataWords - 1) * 4);
}

function pseudoHeaderOf({ source, destination, transport }: ParsedPacket, length: number): number {
	return pseudoHeaderSum(source, destination, transport?.protocol ?? 0, length);
}

/** The first of several fragments; later ones have no transport header. */
function isFragment(bytes: Uint8Array, { family, transport }: ParsedPacket): boolean {
	if (family === "ipv4") return (wordAt(bytes, 6) & 0x3fff) !== 0;
	let header = byteAt(bytes, 6);
	for (let at = 40; at < (transport?.offset ?? 0); ) {
		if (header === EXTENSION_HEADER.fragment) return (wordAt(bytes, at + 2) & 0xfff9) !== 0;
		const units = byteAt(bytes, at + 1);
		const size = header === EXTENSION_HEADER.authentication ? (units + 2) * 4 : (units + 1) * 8;
		header = byteAt(bytes, at);
		at += size;
	}
	return false;
}

/** Writes the correct transport checksum into a whole, unfragmented packet; `packet` is its parse result. */
export function fillTransportChecksum(bytes: Uint8Array, packet: ParsedPacket): void {
	const { transport, length } = packet;
	if (transport?.checksumOffset === undefined) return;
	putWord(bytes, transport.checksumOffset, 0);
	const message = bytes.subarray(transport.offset, length);
	const checksum = internetChecksum(message, pseudoHeaderOf(packet, message.length));
	putWord(bytes, transport.checksumOffset, checksum === 0 ? 0xffff : checksum);
}
