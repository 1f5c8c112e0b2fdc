/** A packet to be traced, and the frame that it came in. Pure. */
import {
	type CapturedPacket,
	fillTransportChecksum,
	isLeftToInterface,
	networkPacketOf,
	parsePacket,
} from "@l3dsr/packet";

export interface InputPacket {
	/** From its network header; zeros stand for what was not captured. */
	readonly bytes: Uint8Array;
	/** Bytes of `bytes` that were captured. */
	readonly capturedBytes: number;
	readonly sourceMac?: readonly number[];
	/** Ids of VLAN tags, outermost first. */
	readonly vlans: readonly number[];
	/** The frame that it came in, for writing it out again. */
	readonly frame: CapturedPacket;
	/** Bytes of the frame in front of the packet. */
	readonly offset: number;
	/** `bytes` have the transport checksum that the frame lacks, because its sender left it to the interface. */
	readonly checksumCompleted: boolean;
}

/** A frame that holds no IP packet. */
export interface OtherFrame {
	readonly frame: CapturedPacket;
	readonly notIp: string;
}

/** The IP packet in a captured frame, as it is on the wire; zeros stand for what was not captured. */
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

/** As it is on the wire; undefined for a packet that is so already. */
function withChecksum(bytes: Uint8Array): Uint8Array | undefined {
	const packet = parsePacket(bytes);
	if (typeof packet === "string" || !isLeftToInterface(bytes, packet)) return undefined;
	const copy = Uint8Array.from(bytes);
	fillTransportChecksum(copy, packet);
	return copy;
}
