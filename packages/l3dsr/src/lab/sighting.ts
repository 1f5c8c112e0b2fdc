/** A packet as seen on one interface of one host of the lab: the headers that matter for the story. */
import { addressFromBytes, dscpOfTos, type ParsedPacket, PROTOCOL_NUMBER, parsePacket } from "@l3dsr/packet";
import type { Host } from "./layout.ts";

/** Plain data: the capturing process sends it as JSON. */
export interface Sighting {
	readonly device: string;
	readonly direction: "in" | "out";
	readonly source: string;
	readonly destination: string;
	/** 0–63 */
	readonly dscp: number;
	/** IP protocol number; undefined for a later IPv6 fragment whose own header chain does not tell. */
	readonly protocol?: number;
	/** Only for packets with the start of a TCP or UDP header. */
	readonly sourcePort?: number;
	readonly destinationPort?: number;
	/** TCP: set for the packet that opens a connection (SYN) and for the answer to it (SYN and ACK). */
	readonly opens?: "connection" | "answer";
	/** True unless the packet is a whole datagram. */
	readonly fragment: boolean;
	/** Length of the IP packet. A packet merged by an offload counts once, with its whole length. */
	readonly lengthBytes: number;
}

/** What each host has seen. */
export type Seen = Readonly<Record<Host, readonly Sighting[]>>;

const TCP_SYN = 0x02;
const TCP_ACK = 0x10;

/**
 * The sighting of `packet`, given from its network header. Undefined if it is not an IP packet, or is only local to
 * the link: neighbour discovery and multicast.
 */
export function sightingOf(
	packet: Uint8Array,
	device: string,
	direction: "in" | "out",
): Sighting | undefined {
	const parsed = parsePacket(packet);
	if (typeof parsed === "string" || isLinkAffair(parsed, packet)) return undefined;
	const { transport } = parsed;
	const at = (offset: number) => packet[(transport?.offset ?? 0) + offset] ?? 0;
	const flags = at(13);
	return {
		device,
		direction,
		source: addressFromBytes(parsed.source).text,
		destination: addressFromBytes(parsed.destination).text,
		dscp: dscpOfTos(parsed.tos),
		...(parsed.protocol === undefined ? {} : { protocol: parsed.protocol }),
		...(transport?.portsPresent === true
			? { sourcePort: (at(0) << 8) | at(1), destinationPort: (at(2) << 8) | at(3) }
			: {}),
		...(transport?.protocol === PROTOCOL_NUMBER.tcp && (flags & TCP_SYN) !== 0
			? { opens: (flags & TCP_ACK) === 0 ? "connection" : "answer" }
			: {}),
		fragment: isFragment(parsed, packet),
		lengthBytes: parsed.length,
	};
}

function isFragment(parsed: ParsedPacket, packet: Uint8Array): boolean {
	// IPv4: more fragments, or an offset. IPv6 in the lab: a fragment header always comes first.
	if (parsed.family === "ipv4") return ((((packet[6] ?? 0) << 8) | (packet[7] ?? 0)) & 0x3fff) !== 0;
	return packet[6] === 44;
}

/** Neighbour discovery (ICMPv6 133–137, RFC 4861) and everything to a multicast address. */
function isLinkAffair(parsed: ParsedPacket, packet: Uint8Array): boolean {
	const [first = 0] = parsed.destination;
	if (parsed.family === "ipv4") return first >= 224;
	if (first === 0xff) return true;
	const { transport } = parsed;
	if (transport?.protocol !== PROTOCOL_NUMBER.icmpv6) return false;
	const type = packet[transport.offset] ?? 0;
	return type >= 133 && type <= 137;
}
