/**
 * Capture files of tcpdump, Wireshark and switches: converts bytes to packets and back. Pure.
 *
 * Reads pcap (microseconds and nanoseconds, either byte order) and pcapng; writes pcap with nanoseconds.
 * Sources: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
 */
import { PacketError } from "../error.ts";
import type { Capture } from "./captured-packet.ts";
import { decodePcap, isPcap } from "./pcap.ts";
import { decodePcapng, isPcapng } from "./pcapng.ts";

/** Throws PacketError (CAPTURE_FORMAT) if the bytes are not a capture, or a damaged one. */
export function decodeCapture(bytes: Uint8Array, source: string): Capture {
	if (isPcapng(bytes)) return decodePcapng(bytes, source);
	if (isPcap(bytes)) return decodePcap(bytes, source);
	throw new PacketError(
		"CAPTURE_FORMAT",
		`read capture ${source}: it is neither pcap nor pcapng`,
		bytes.length === 0 ? "it is empty" : "use --hex for a packet in hex",
	);
}
