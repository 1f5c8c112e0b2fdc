/** Splits packets into fragments, as a sender or a router does. */
import { bytesOf, extension, internetChecksum, withChecksum, word } from "./build.ts";

/**
 * One fragment of an unfragmented packet: bytes `from` to `to` of its fragmentable part (IPv4: after the
 * header; IPv6: after `unfragmentable` bytes of extension headers). `from` is a multiple of eight.
 */
export function fragmentOf(packet: Uint8Array, from: number, to: number, unfragmentable = 0): Uint8Array {
	return (packet[0] ?? 0) >> 4 === 6
		? fragmentOfIpv6(packet, from, to, unfragmentable)
		: fragmentOfIpv4(packet, from, to);
}

function fragmentOfIpv4(packet: Uint8Array, from: number, to: number): Uint8Array {
	const headerLength = ((packet[0] ?? 0) & 0x0f) * 4;
	const body = packet.subarray(headerLength);
	const header = packet.slice(0, headerLength);
	const slice = body.subarray(from, to);
	header.set(bytesOf(word(headerLength + slice.length)), 2);
	header.set(bytesOf(word((to < body.length ? 0x2000 : 0) | (from >> 3))), 6);
	header.set([0, 0], 10);
	withChecksum(header, 10, internetChecksum(header));
	return bytesOf(header, slice);
}

function fragmentOfIpv6(packet: Uint8Array, from: number, to: number, unfragmentable: number): Uint8Array {
	const header = packet.slice(0, 40 + unfragmentable);
	const body = packet.subarray(header.length);
	const slice = body.subarray(from, to);
	// The field with the number of the first fragmentable header: in the IPv6 header, or in the last
	// extension header before it.
	let naming = 6;
	for (let offset = 40; offset < header.length; ) {
		naming = offset;
		offset += ((header[offset + 1] ?? 0) + 1) * 8;
	}
	const first = header[naming] ?? 59;
	header[naming] = 44;
	header.set(bytesOf(word(unfragmentable + 8 + slice.length)), 4);
	return bytesOf(header, extension.fragment(from, to < body.length).encode(first), slice);
}
