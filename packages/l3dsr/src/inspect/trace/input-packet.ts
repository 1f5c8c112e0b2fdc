/** A packet to trace, and its frame. Pure. */
import {
	type CapturedPacket,
	fillTransportChecksum,
	isLeftToInterface,
	networkPacketOf,
	parsePacket,
} from "@l3dsr/packet";

export interface InputPacket {
	/** From its network header; zeros replace what was not captured. */
	readonly bytes: Uint8Array;
	/** Bytes of `bytes` that were captured. */
	readonly capturedBytes: number;
	readonly sourceMac?: readonly number[];
	/** Ids of VLAN tags, outermost first. */
	readonly vlans: readonly number[];
	/** Its frame, for writing it out again. */
	readonly frame: CapturedPacket;
	/** Bytes of the frame before the packet. */
	readonly offset: number;
	/** `bytes` contain the transport checksum, which the frame lacks because its sender left it to the interface. */
	readonly checksumCompleted: boolean;
}

/** A frame that holds no IP packet. */
export interface OtherFrame {
	readonly frame: CapturedPacket;
	readonly notIp: string;
}

/** The IP packet in a captured frame, as on the wire; zeros replace what was not captured. */
export function packetIn(frame: CapturedPacket): InputPacket | OtherFrame {
	const found = networkPacketOf(frame.bytes, frame.linkType);
	if (typeof found === "string") return { frame, notIp: found };
	const { offset, sourceMac, vlans } = found;
	const captured = frame.bytes.subarray(offset);
	let bytes = captured;
	if (frame.lengthBytes > frame.bytes.length) {
		bytes = new Uint8Array(frame.lengthBytes - offset);
		bytes.set(captured);
	}
	const complete = captured.length === bytes.length;
	const completed = complete ? withChecksum(bytes) : undefined;
	return {
		bytes: completed ?? bytes,
		checksumCompleted: completed !== undefined,
		capturedBytes: captured.length,
		vlans,
		frame,
		offset,
		...(sourceMac === undefined ? {} : { sourceMac }),
	};
}

/** As on the wire; undefined if the packet already is. */
function withChecksum(bytes: Uint8Array): Uint8Array | undefined {
	const packet = parsePacket(bytes);
	if (typeof packet === "string" || !isLeftToInterface(bytes, packet)) return undefined;
	const copy = Uint8Array.from(bytes);
	fillTransportChecksum(copy, packet);
	return copy;
}
