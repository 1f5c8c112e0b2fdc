/** The contents of a capture file, in any format. */

export interface CapturedPacket {
	/** LINKTYPE_*: the header with which `bytes` begin (link-layer.ts). */
	readonly linkType: number;
	/** Nanoseconds since 1970. */
	readonly timestampNs: bigint;
	/** From the link-layer header on, as far as it was captured. */
	readonly bytes: Uint8Array;
	/**
	 * Length of the packet on the wire: larger than `bytes.length` if the capture was limited (tcpdump -s).
	 */
	readonly lengthBytes: number;
}

export interface Capture {
	readonly packets: readonly CapturedPacket[];
	/** The file ends inside a packet, for example while it is still being written. */
	readonly cutShort: boolean;
}
