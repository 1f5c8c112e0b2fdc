/**
 * The entry point of `@l3dsr/packet`: addresses, DSCP, parsing and building of packets, checksums and
 * captures.
 */

export {
	type Address,
	addressBits,
	addressFromBytes,
	type Family,
	isUnspecified,
	maskBytes,
	type Prefix,
	parseAddress,
	parseIpv4,
	parseIpv6,
	prefixContains,
	prefixOf,
	prefixText,
	sameAddress,
} from "./address.ts";
export {
	type EchoFields,
	echoRequestMessage,
	echoRequestPacket,
	type IpFields,
	ipPacket,
	TCP_FLAG,
	type TcpFields,
	tcpPacket,
	type UdpFields,
	udpPacket,
} from "./build.ts";
export { byteAt, putWord, wordAt } from "./bytes.ts";
export {
	complementOfSum,
	foldSum,
	internetChecksum,
	pseudoHeaderSum,
	replaceInChecksum,
	sumOfWords,
} from "./checksum.ts";
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
export { isPort, MAX_PORT, type Port, portOf } from "./port.ts";
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
export {
	type Checksums,
	type ChecksumVerdict,
	fillTransportChecksum,
	isLeftToInterface,
	verifyChecksums,
} from "./verify.ts";
