/** Places of the packet fields that nft(8) has names for. The builder and the printer share them. */
import { type DataType, dataType, integerType } from "./data-type.ts";
import type { PayloadBase } from "./expression.ts";

export interface Field {
	readonly base: PayloadBase;
	/** Bytes from the base. */
	readonly offset: number;
	/** Bytes. */
	readonly length: number;
	/** The bits that belong to the field, if not all of the bytes do. */
	readonly mask?: number;
	readonly type: DataType;
	/** Offset from the base of a checksum that covers the field. */
	readonly checksum?: number;
	/** Transport checksums cover the field too. */
	readonly pseudoHeader?: true;
}

const network = (offset: number, length: number, more: Partial<Field> = {}): Field => ({
	base: "network",
	offset,
	length,
	type: integerType(length),
	...more,
});
const transport = (offset: number, length: number, more: Partial<Field> = {}): Field => ({
	...network(offset, length, more),
	base: "transport",
});

const port = dataType("inet_service");
const ipv4 = dataType("ipv4_addr");
const ipv6 = dataType("ipv6_addr");
/** The checksum of the IPv4 header. */
const header = { checksum: 10 } as const;

export const FIELDS = {
	"ether daddr": { ...network(0, 6), base: "link", type: dataType("ether_addr") },
	"ether saddr": { ...network(6, 6), base: "link", type: dataType("ether_addr") },
	"ip version": network(0, 1, { mask: 0xf0 }),
	"ip hdrlength": network(0, 1, { mask: 0x0f }),
	"ip dscp": network(1, 1, { mask: 0xfc, type: dataType("dscp"), ...header }),
	"ip ecn": network(1, 1, { mask: 0x03, type: dataType("ecn"), ...header }),
	"ip length": network(2, 2, header),
	"ip id": network(4, 2, header),
	"ip frag-off": network(6, 2, header),
	"ip ttl": network(8, 1, header),
	"ip protocol": network(9, 1, { type: dataType("inet_proto"), ...header }),
	"ip saddr": network(12, 4, { type: ipv4, pseudoHeader: true, ...header }),
	"ip daddr": network(16, 4, { type: ipv4, pseudoHeader: true, ...header }),
	"ip6 version": network(0, 1, { mask: 0xf0 }),
	"ip6 dscp": network(0, 2, { mask: 0x0fc0, type: dataType("dscp") }),
	"ip6 ecn": network(1, 1, { mask: 0x30, type: dataType("ecn") }),
	"ip6 length": network(4, 2),
	"ip6 nexthdr": network(6, 1, { type: dataType("inet_proto") }),
	"ip6 hoplimit": network(7, 1),
	"ip6 saddr": network(8, 16, { type: ipv6, pseudoHeader: true }),
	"ip6 daddr": network(24, 16, { type: ipv6, pseudoHeader: true }),
	"arp operation": network(6, 2, { type: dataType("arp_op") }),
	"arp saddr ether": network(8, 6, { type: dataType("ether_addr") }),
	"arp saddr ip": network(14, 4, { type: ipv4 }),
	"arp daddr ether": network(18, 6, { type: dataType("ether_addr") }),
	"arp daddr ip": network(24, 4, { type: ipv4 }),
	"th sport": transport(0, 2, { type: port }),
	"th dport": transport(2, 2, { type: port }),
	"tcp sport": transport(0, 2, { type: port, checksum: 16 }),
	"tcp dport": transport(2, 2, { type: port, checksum: 16 }),
	"udp sport": transport(0, 2, { type: port, checksum: 6 }),
	"udp dport": transport(2, 2, { type: port, checksum: 6 }),
	"icmp type": transport(0, 1, { type: dataType("icmp_type"), checksum: 2 }),
	"icmp id": transport(4, 2, { checksum: 2 }),
	"icmpv6 type": transport(0, 1, { type: dataType("icmpv6_type"), checksum: 2 }),
	"icmpv6 id": transport(4, 2, { checksum: 2 }),
} as const satisfies Readonly<Record<string, Field>>;

export type FieldName = keyof typeof FIELDS;

/** The number of bits below the field in its bytes. */
export function shiftOf({ mask }: Pick<Field, "mask">): number {
	if (mask === undefined || mask === 0) return 0;
	return 31 - Math.clz32(mask & -mask);
}
