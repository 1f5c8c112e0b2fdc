/** Finds the IP packet in a captured frame. */

import { wordAt } from "../bytes.ts";
import { ETHER_TYPE } from "../protocol.ts";

/** From the registry of link types in captures (draft-ietf-opsawg-pcaplinktype). */
export const LINK_TYPE = {
	ethernet: 1,
	raw: 101,
	/** LINKTYPE_LINUX_SLL and SLL2, which tcpdump -i any writes. */
	linuxCooked: 113,
	linuxCooked2: 276,
	rawIpv4: 228,
	rawIpv6: 229,
} as const;

/** Some systems write their own DLT_RAW for raw IP, although it is not a link type. */
const OTHER_RAW = new Set([12, 14]);

const VLAN_TAGS: ReadonlySet<number> = new Set([ETHER_TYPE.vlan, ETHER_TYPE.serviceVlan, 0x9100]);
/** The packet type in a cooked header of a packet that this host sent. */
const OUTGOING = 4;

export interface NetworkPacket {
	/** Bytes before the IP header. */
	readonly offset: number;
	/** Six bytes, if the link has such addresses. */
	readonly sourceMac?: readonly number[];
	/** VLAN ids of the tags before the packet, outermost first, including priority tags (id 0). */
	readonly vlans: readonly number[];
	/** The capturing host sent it (known only in Linux cooked captures). */
	readonly outgoing: boolean;
}

/** Why no IP packet was found. */
export type NotIp = "link-type-unknown" | "not-ip" | "frame-cut";

export function isKnownLinkType(linkType: number): boolean {
	return OTHER_RAW.has(linkType) || Object.values(LINK_TYPE).some((known) => known === linkType);
}

/** Finds the IP packet in a frame. Never throws. */
export function networkPacketOf(frame: Uint8Array, linkType: number): NetworkPacket | NotIp {
	switch (linkType) {
		case LINK_TYPE.ethernet:
			return behindEtherType(frame, 12, Array.from(frame.subarray(6, 12)), false);
		case LINK_TYPE.linuxCooked: {
			const mac = wordAt(frame, 4) === 6 ? Array.from(frame.subarray(6, 12)) : undefined;
			return behindEtherType(frame, 14, mac, wordAt(frame, 0) === OUTGOING);
		}
		case LINK_TYPE.linuxCooked2: {
			if (frame.length < 20) return "frame-cut";
			const type = wordAt(frame, 0);
			if (type !== ETHER_TYPE.ipv4 && type !== ETHER_TYPE.ipv6) return "not-ip";
			return {
				offset: 20,
				vlans: [],
				outgoing: frame[10] === OUTGOING,
				...(frame[11] === 6 ? { sourceMac: Array.from(frame.subarray(12, 18)) } : {}),
			};
		}
		default:
			return isKnownLinkType(linkType) ? { offset: 0, vlans: [], outgoing: false } : "link-type-unknown";
	}
}

function behindEtherType(
	frame: Uint8Array,
	typeOffset: number,
	sourceMac: readonly number[] | undefined,
	outgoing: boolean,
): NetworkPacket | NotIp {
	const vlans: number[] = [];
	let at = typeOffset;
	for (;;) {
		if (at + 2 > frame.length) return "frame-cut";
		const type = wordAt(frame, at);
		if (type === ETHER_TYPE.ipv4 || type === ETHER_TYPE.ipv6) break;
		if (!VLAN_TAGS.has(type)) return "not-ip";
		vlans.push(wordAt(frame, at + 2) & 0x0fff);
		at += 4;
	}
	return { offset: at + 2, vlans, outgoing, ...(sourceMac === undefined ? {} : { sourceMac }) };
}
