/** Compares packets and shows the differences to a person. */

import assert from "node:assert/strict";
import { addressFromBytes, dscpOfTos, formatDscp, parsePacket } from "@l3dsr/packet";

/** One line with the contents of a packet's headers. */
export function describePacket(bytes: Uint8Array): string {
	const packet = parsePacket(bytes, Number.POSITIVE_INFINITY);
	if (typeof packet === "string") return `${bytes.length} bytes, no IP packet (${packet})`;
	const word = (offset: number) => hex(((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0), 4);
	const { transport } = packet;
	const parts = [
		`${addressFromBytes(packet.source).text} > ${addressFromBytes(packet.destination).text}`,
		`dscp ${formatDscp(dscpOfTos(packet.tos))}`,
		`ecn ${packet.tos & 3}`,
		`ttl ${packet.ttl}`,
		`length ${packet.length}`,
		`protocol ${packet.protocol ?? "?"}`,
	];
	if (packet.family === "ipv4")
		parts.push(`id ${word(4)}`, `fragment ${word(6)}`, `header checksum ${word(10)}`);
	if (packet.laterFragment) parts.push("later fragment");
	if (packet.routedFurther) parts.push("segments left");
	if (transport?.portsPresent) {
		const view = new DataView(bytes.buffer, bytes.byteOffset + transport.offset);
		parts.push(`ports ${view.getUint16(0)} > ${view.getUint16(2)}`);
	}
	if (transport?.checksumPresent) parts.push(`checksum ${word(transport.checksumOffset ?? 0)}`);
	if (packet.malformed !== undefined) parts.push(packet.malformed);
	return parts.join(", ");
}

/** Both packets: their headers in words, then hex lines of 16 bytes with the different bytes marked. */
export function packetDiff(actual: Uint8Array, expected: Uint8Array): string {
	const lines = [`actual   ${describePacket(actual)}`, `expected ${describePacket(expected)}`];
	for (let at = 0; at < Math.max(actual.length, expected.length); at += 16) {
		const [a, e] = [actual.subarray(at, at + 16), expected.subarray(at, at + 16)];
		const marks = Array.from({ length: 16 }, (_, i) => (a[i] === e[i] ? "   " : " ^^")).join("");
		if (marks.trim() === "") {
			lines.push(`         ${hex(at, 4)} ${hexLine(a)}`);
			continue;
		}
		lines.push(`actual   ${hex(at, 4)} ${hexLine(a)}`, `expected ${hex(at, 4)} ${hexLine(e)}`);
		lines.push(`              ${marks}`.trimEnd());
	}
	return lines.join("\n");
}

/** Fails with a {@link packetDiff} under `message` if one byte differs. */
export function assertSamePacket(actual: Uint8Array, expected: Uint8Array, message: string): void {
	if (Buffer.compare(actual, expected) === 0) return;
	assert.fail(`${message}\n${packetDiff(actual, expected)}`);
}

/**
 * Replaces 0xffff by 0x0000 in checksums where both mean zero: in the IPv4 header, and in all transports
 * except UDP and UDP-Lite. Kernel paths differ in which of the two they write.
 */
export function withCanonicalZeros(bytes: Uint8Array): Uint8Array {
	const copy = Uint8Array.from(bytes);
	const packet = parsePacket(copy, Number.POSITIVE_INFINITY);
	if (typeof packet === "string") return copy;
	const offsets: number[] = packet.family === "ipv4" ? [10] : [];
	const { transport } = packet;
	if (transport?.checksumPresent && transport.protocol !== 17 && transport.protocol !== 136) {
		offsets.push(transport.checksumOffset ?? 0);
	}
	for (const offset of offsets) {
		if (copy[offset] === 0xff && copy[offset + 1] === 0xff) copy.set([0, 0], offset);
	}
	return copy;
}

/** Like {@link assertSamePacket}, but accepts either representation of a zero checksum. */
export function assertEquivalentPacket(actual: Uint8Array, expected: Uint8Array, message: string): void {
	assertSamePacket(withCanonicalZeros(actual), withCanonicalZeros(expected), message);
}

function hex(value: number, digits: number): string {
	return value.toString(16).padStart(digits, "0");
}

function hexLine(bytes: Uint8Array): string {
	return Array.from(bytes, (byte) => ` ${hex(byte, 2)}`).join("");
}
