/** The numbers in packets, in one table: protocols, extension headers, ethertypes. */
import type { Family } from "./address.ts";

/**
 * Types in the Ethernet header (IEEE 802 numbers); `vlan` and `serviceVlan` are tags, which the real type
 * follows.
 */
export const ETHER_TYPE = { ipv4: 0x0800, ipv6: 0x86dd, vlan: 0x8100, serviceVlan: 0x88a8 } as const;

/** IP protocols (IANA, "Protocol Numbers") that need their own treatment. */
export const PROTOCOL_NUMBER = {
	icmp: 1,
	tcp: 6,
	udp: 17,
	dccp: 33,
	icmpv6: 58,
	ospf: 89,
	sctp: 132,
	udplite: 136,
} as const;

/** IPv6 next headers that are not a transport (RFC 8200, IANA's registry), by number. */
export const EXTENSION_HEADER = {
	hopByHop: 0,
	routing: 43,
	fragment: 44,
	authentication: 51,
	noNextHeader: 59,
	destinationOptions: 60,
	mobility: 135,
	hip: 139,
	shim6: 140,
} as const;

/** The minimum number of extension headers that are followed before a chain counts as too long. */
export const EXTENSION_LIMIT = 8;

/** IPv4's `fragment` field: the flag, and the mask of the offset in units of 8 bytes. */
export const IPV4_FRAGMENT = { more: 0x2000, offset: 0x1fff } as const;

/** The field in IPv6's fragment header: the flag, and the mask of the offset in bytes. */
export const IPV6_FRAGMENT_FIELD = { more: 0x0001, offset: 0xfff8 } as const;

const { tcp, udp, dccp, icmpv6, ospf, sctp, udplite } = PROTOCOL_NUMBER;

/**
 * Offset of the checksum in protocols whose pseudo-header contains the destination address. ICMP over IPv4
 * has no pseudo-header; ICMPv6 and OSPFv3 exist only over IPv6.
 */
export const CHECKSUM_OFFSET = {
	ipv4: { [tcp]: 16, [udp]: 6, [udplite]: 6, [dccp]: 6 },
	ipv6: { [tcp]: 16, [udp]: 6, [udplite]: 6, [dccp]: 6, [icmpv6]: 2, [ospf]: 12 },
} as const satisfies Readonly<Record<Family, Readonly<Record<number, number>>>>;

/** Protocols whose header begins with a source port and a destination port, two bytes each. */
export const PORT_PROTOCOLS: readonly number[] = [tcp, udp, sctp, dccp, udplite];

/**
 * ICMP types that report to a sender what happened to its packet, which they quote (RFC 792, RFC 4443 section
 * 2.1): destination unreachable, time exceeded, parameter problem, and IPv6's packet too big.
 */
export const ICMP_ERROR_TYPES = { ipv4: [3, 11, 12], ipv6: [1, 2, 3, 4] } as const satisfies Readonly<
	Record<Family, readonly number[]>
>;
