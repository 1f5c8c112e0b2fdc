/** Packet headers. Multi-byte fields are in network order. */
import { struct } from "../struct.ts";

/** IEEE 802.3; `type` is at byte 12. */
export const ETHERNET = struct("ethernet", { destination: { bytes: 6 }, source: { bytes: 6 }, type: "be16" });

/** IEEE 802.1Q, after type 0x8100 or 0x88a8 in the Ethernet header. */
export const VLAN = struct("vlan", { tci: "be16", type: "be16" });

/** RFC 791, without options. */
export const IPV4 = struct("ipv4", {
	versionIhl: "u8",
	tos: "u8",
	totalLength: "be16",
	identification: "be16",
	/** Flags in the upper three bits (0x2000: more fragments), then the offset in units of 8 bytes. */
	fragment: "be16",
	ttl: "u8",
	protocol: "u8",
	checksum: "be16",
	source: "be32",
	destination: "be32",
});

/** RFC 8200. */
export const IPV6 = struct("ipv6", {
	/** Version 4 bits, traffic class 8, flow label 20. */
	versionClassFlow: "be32",
	payloadLength: "be16",
	nextHeader: "u8",
	hopLimit: "u8",
	source: { bytes: 16 },
	destination: { bytes: 16 },
});

/** The beginning of every IPv6 extension header; `length` is in units of 8 bytes without the first. */
export const IPV6_EXTENSION = struct("extension", { nextHeader: "u8", length: "u8" });

/** RFC 8200, 4.4: `segmentsLeft` at byte 3. */
export const IPV6_ROUTING = struct("routing", {
	nextHeader: "u8",
	length: "u8",
	type: "u8",
	segmentsLeft: "u8",
});

/** RFC 8200, 4.5: `fragment` has the offset in its upper 13 bits, more-fragments in the lowest. */
export const IPV6_FRAGMENT = struct("fragment", {
	nextHeader: "u8",
	reserved: "u8",
	fragment: "be16",
	identification: "be32",
});

/** RFC 9293, without options. */
export const TCP = struct("tcp", {
	source: "be16",
	destination: "be16",
	sequence: "be32",
	acknowledgement: "be32",
	dataOffset: "u8",
	flags: "u8",
	window: "be16",
	checksum: "be16",
	urgent: "be16",
});

/** RFC 768; UDP-Lite (RFC 3828) has the checksum coverage in `length`. */
export const UDP = struct("udp", { source: "be16", destination: "be16", length: "be16", checksum: "be16" });

/** RFC 4443 and RFC 792. */
export const ICMP = struct("icmp", { type: "u8", code: "u8", checksum: "be16" });
