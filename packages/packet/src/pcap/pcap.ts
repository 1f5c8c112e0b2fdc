/** The classic format: a header of 24 bytes, then each packet with a header of 16 bytes. */
import { PacketError } from "../error.ts";
import type { Capture, CapturedPacket } from "./captured-packet.ts";

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
/** libpcap's limit for a packet (MAXIMUM_SNAPLEN); if one is larger, the file is damaged. */
export const LARGEST_PACKET_BYTES = 262_144;

interface Variant {
	readonly littleEndian: boolean;
	readonly nanoseconds: boolean;
}

function variantOf(bytes: Uint8Array): Variant | undefined {
	if (bytes.length < 4) return undefined;
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	for (const littleEndian of [true, false]) {
		const magic = view.getUint32(0, littleEndian);
		if (magic === MAGIC_MICROSECONDS) return { littleEndian, nanoseconds: false };
		if (magic === MAGIC_NANOSECONDS) return { littleEndian, nanoseconds: true };
	}
	return undefined;
}

export function isPcap(bytes: Uint8Array): boolean {
	return variantOf(bytes) !== undefined;
}

/** The packets' bytes are views into `bytes`. Throws PacketError (CAPTURE_FORMAT). */
export function decodePcap(bytes: Uint8Array, source: string): Capture {
	const variant = variantOf(bytes);
	if (variant === undefined || bytes.length < FILE_HEADER_BYTES) return { packets: [], cutShort: true };
	const { littleEndian, nanoseconds } = variant;
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	// The upper bits are the length of the frame check sequence, not part of the link type.
	const linkType = view.getUint32(20, littleEndian) & 0xffff;
	const packets: CapturedPacket[] = [];
	let at = FILE_HEADER_BYTES;
	while (at + RECORD_HEADER_BYTES <= bytes.length) {
		const seconds = view.getUint32(at, littleEndian);
		const fraction = view.getUint32(at + 4, littleEndian);
		const captured = view.getUint32(at + 8, littleEndian);
		const lengthBytes = view.getUint32(at + 12, littleEndian);
		if (captured > LARGEST_PACKET_BYTES) throw damaged(source, at, `a packet of ${captured} bytes`);
		const start = at + RECORD_HEADER_BYTES;
		if (start + captured > bytes.length) break;
		packets.push({
			linkType,
			timestampNs: BigInt(seconds) * 1_000_000_000n + BigInt(fraction) * (nanoseconds ? 1n : 1000n),
			bytes: bytes.subarray(start, start + captured),
			lengthBytes: Math.max(captured, lengthBytes),
		});
		at = start + captured;
	}
	return { packets, cutShort: at < bytes.length };
}

export function damaged(source: string, offset: number, what: string): PacketError {
	return new PacketError(
		"CAPTURE_FORMAT",
		`read capture ${source}: at byte ${offset} it has ${what}`,
		"the file is damaged; editcap may recover what is before that position",
	);
}

/** A little-endian file with nanoseconds. All packets have the given link type. */
export function encodePcap(
	packets: readonly Omit<CapturedPacket, "linkType">[],
	linkType: number,
): Uint8Array {
	const size = packets.reduce(
		(sum, { bytes }) => sum + RECORD_HEADER_BYTES + bytes.length,
		FILE_HEADER_BYTES,
	);
	const file = new Uint8Array(size);
	const view = new DataView(file.buffer);
	view.setUint32(0, MAGIC_NANOSECONDS, true);
	view.setUint16(4, 2, true);
	view.setUint16(6, 4, true);
	view.setUint32(16, LARGEST_PACKET_BYTES, true);
	view.setUint32(20, linkType, true);
	let at = FILE_HEADER_BYTES;
	for (const { timestampNs, bytes, lengthBytes } of packets) {
		view.setUint32(at, Number(timestampNs / 1_000_000_000n), true);
		view.setUint32(at + 4, Number(timestampNs % 1_000_000_000n), true);
		view.setUint32(at + 8, bytes.length, true);
		view.setUint32(at + 12, lengthBytes, true);
		file.set(bytes, at + RECORD_HEADER_BYTES);
		at += RECORD_HEADER_BYTES + bytes.length;
	}
	return file;
}
