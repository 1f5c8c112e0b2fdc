/** The one entrance of `@l3dsr/packet`: addresses, DSCP, checksums and captures, knowing nothing of L3DSR. */

export {
	type Address,
	addressBits,
	addressFromBytes,
	type Family,
	maskBytes,
	type Prefix,
	parseAddress,
	parseIpv4,
	parseIpv6,
	prefixContains,
	prefixOf,
	sameAddress,
} from "./address.ts";
export { byteAt, putWord, wordAt } from "./bytes.ts";
export { complementOfSum, foldSum, replaceInChecksum, sumOfWords } from "./checksum.ts";
export {
	DSCP_CLASSES,
	DSCP_COUNT,
	type Dscp,
	dscp,
	dscpOfTos,
	formatDscp,
	isDscp,
	tosOfDscp,
} from "./dscp.ts";
export { PacketError, type PacketErrorCode } from "./error.ts";
export { type Malformed, type ParsedPacket, parsePacket, type Transport, type Unreadable } from "./parse.ts";
export { decodeCapture } from "./pcap/capture.ts";
export type { Capture, CapturedPacket } from "./pcap/captured-packet.ts";
export { isKnownLinkType, LINK_TYPE, networkPacketOf } from "./pcap/link-layer.ts";
export { encodePcap } from "./pcap/pcap.ts";
export {
	CHECKSUM_OFFSET,
	ETHER_TYPE,
	EXTENSION_HEADER,
	EXTENSION_LIMIT,
	ICMP_ERROR_TYPES,
	IPV4_FRAGMENT,
	IPV6_FRAGMENT_FIELD,
	PORT_PROTOCOLS,
	PROTOCOL_NUMBER,
} from "./protocol.ts";
export { type Quote, quoteOf } from "./quote.ts";
