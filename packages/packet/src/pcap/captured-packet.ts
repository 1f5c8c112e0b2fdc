/** What is in a capture file, whatever its format. */

export interface CapturedPacket {
	/** LINKTYPE_*: what `bytes` begin with (link-layer.ts). */
	readonly linkType: number;
	/** Nanoseconds since 1970. */
	readonly timestampNs: bigint;
	/** From the link-layer header on, as far as it was captured. */
	readonly bytes: Uint8Array;
	/** Of the packet on the wire: larger than `bytes.length` where the capture was limited (tcpdump -s). */
	readonly lengthBytes: number;
}

export interface Capture {
	readonly packets: readonly CapturedPacket[];
	/** The file ends inside a packet, as one does that is still being written. */
	readonly cutShort: boolean;
}
