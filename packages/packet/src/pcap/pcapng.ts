/** The newer format, which consists of blocks. Only those with interfaces and packets are read. */
import type { Capture, CapturedPacket } from "./captured-packet.ts";
import { damaged, LARGEST_PACKET_BYTES } from "./pcap.ts";

const BLOCK = {
	section: 0x0a0d0d0a,
	interface: 1,
	/** Obsolete, but found in old files. */
	packet: 2,
	simplePacket: 3,
	enhancedPacket: 6,
} as const;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const OPTION = { end: 0, timestampResolution: 9, timestampOffset: 14 } as const;

interface CaptureInterface {
	readonly linkType: number;
	/** Bytes kept of each packet; 0 for all. */
	readonly snapLength: number;
	readonly unitsPerSecond: bigint;
	readonly offsetSeconds: bigint;
}

export function isPcapng(bytes: Uint8Array): boolean {
	return bytes.length >= 4 && [0x0a, 0x0d, 0x0d, 0x0a].every((byte, index) => bytes[index] === byte);
}

/** The packets' bytes are views into `bytes`. Throws PacketError (CAPTURE_FORMAT). */
export function decodePcapng(bytes: Uint8Array, source: string): Capture {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const packets: CapturedPacket[] = [];
	let interfaces: CaptureInterface[] = [];
	let littleEndian = true;
	let at = 0;
	while (at + 12 <= bytes.length) {
		// Each section can have another byte order; the type of its header reads the same in both.
		if (view.getUint32(at, true) === BLOCK.section) {
			const magic = view.getUint32(at + 8, true);
			littleEndian = magic === BYTE_ORDER_MAGIC;
			if (!littleEndian && view.getUint32(at + 8, false) !== BYTE_ORDER_MAGIC) {
				throw damaged(source, at, "a section without a byte order");
			}
			interfaces = [];
		}
		const type = view.getUint32(at, littleEndian);
		const length = view.getUint32(at + 4, littleEndian);
		if (length < 12 || length % 4 !== 0) throw damaged(source, at, `a block of ${length} bytes`);
		if (at + length > bytes.length) break;
		const block = new Block(bytes.subarray(at + 8, at + length - 4), littleEndian);
		if (type === BLOCK.interface) {
			if (block.length < 8) throw damaged(source, at, "an interface that is cut short");
			interfaces.push(readInterface(block));
		} else {
			const packet = readPacket(type, block, interfaces);
			if (packet === "damaged") throw damaged(source, at, "a packet that is not in its block");
			if (packet !== undefined) packets.push(packet);
		}
		at += length;
	}
	return { packets, cutShort: at < bytes.length };
}

/** The body of a block. Missing numbers read as 0; callers have checked lengths that matter. */
class Block {
	readonly bytes: Uint8Array;
	readonly #view: DataView;
	readonly #littleEndian: boolean;

	constructor(bytes: Uint8Array, littleEndian: boolean) {
		this.bytes = bytes;
		this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
		this.#littleEndian = littleEndian;
	}

	get length(): number {
		return this.bytes.length;
	}

	u16(offset: number): number {
		return offset + 2 <= this.length ? this.#view.getUint16(offset, this.#littleEndian) : 0;
	}

	u32(offset: number): number {
		return offset + 4 <= this.length ? this.#view.getUint32(offset, this.#littleEndian) : 0;
	}

	s64(offset: number): bigint {
		return offset + 8 <= this.length ? this.#view.getBigInt64(offset, this.#littleEndian) : 0n;
	}
}

function readInterface(block: Block): CaptureInterface {
	let unitsPerSecond = 1_000_000n;
	let offsetSeconds = 0n;
	for (let at = 8; at + 4 <= block.length; ) {
		const code = block.u16(at);
		const length = block.u16(at + 2);
		if (code === OPTION.end) break;
		if (code === OPTION.timestampResolution && length >= 1) {
			const resolution = block.bytes[at + 4] ?? 6;
			const exponent = BigInt(resolution & 0x7f);
			unitsPerSecond = (resolution & 0x80) === 0 ? 10n ** exponent : 2n ** exponent;
		}
		if (code === OPTION.timestampOffset && length >= 8) offsetSeconds = block.s64(at + 4);
		at += 4 + length + ((4 - (length % 4)) % 4);
	}
	return { linkType: block.u16(0), snapLength: block.u32(4), unitsPerSecond, offsetSeconds };
}

/** Undefined for blocks that contain no packet. */
function readPacket(
	type: number,
	block: Block,
	interfaces: readonly CaptureInterface[],
): CapturedPacket | undefined | "damaged" {
	if (type === BLOCK.simplePacket) {
		const [first] = interfaces;
		if (first === undefined) return "damaged";
		const lengthBytes = block.u32(0);
		const kept = first.snapLength === 0 ? lengthBytes : Math.min(lengthBytes, first.snapLength);
		return packetIn(block, 4, kept, lengthBytes, first, 0n);
	}
	if (type !== BLOCK.enhancedPacket && type !== BLOCK.packet) return undefined;
	const on = interfaces[type === BLOCK.packet ? block.u16(0) : block.u32(0)];
	if (on === undefined) return "damaged";
	const units = (BigInt(block.u32(4)) << 32n) | BigInt(block.u32(8));
	return packetIn(block, 20, block.u32(12), block.u32(16), on, units);
}

function packetIn(
	block: Block,
	start: number,
	captured: number,
	lengthBytes: number,
	{ linkType, unitsPerSecond, offsetSeconds }: CaptureInterface,
	units: bigint,
): CapturedPacket | "damaged" {
	if (captured > LARGEST_PACKET_BYTES || start + captured > block.length) return "damaged";
	return {
		linkType,
		timestampNs: (units * 1_000_000_000n) / unitsPerSecond + offsetSeconds * 1_000_000_000n,
		bytes: block.bytes.subarray(start, start + captured),
		lengthBytes: Math.max(captured, lengthBytes),
	};
}
