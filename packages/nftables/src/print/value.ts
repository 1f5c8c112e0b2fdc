/** Prints values of registers in nft(8)'s syntax. */

import { addressText, bytesNumber } from "../bytes.ts";
import { type DataType, partsOf } from "../data-type.ts";
import { printable } from "../printable.ts";

/** Protocols that are words of nft's grammar: nft reads them without /etc/protocols. */
const PROTOCOLS: Readonly<Record<number, string>> = {
	1: "icmp",
	6: "tcp",
	17: "udp",
	33: "dccp",
	50: "esp",
	51: "ah",
	58: "icmpv6",
	132: "sctp",
	136: "udplite",
};
const FIB_TYPES: Readonly<Record<number, string>> = {
	1: "unicast",
	2: "local",
	3: "broadcast",
	4: "anycast",
	5: "multicast",
	6: "blackhole",
	7: "unreachable",
	8: "prohibit",
};
const NF_PROTOCOLS: Readonly<Record<number, string>> = { 2: "ipv4", 10: "ipv6" };
const ARP_OPERATIONS: Readonly<Record<number, string>> = { 1: "request", 2: "reply" };
const ICMP_TYPES: Readonly<Record<number, string>> = {
	0: "echo-reply",
	3: "destination-unreachable",
	8: "echo-request",
	11: "time-exceeded",
	12: "parameter-problem",
};
const ICMPV6_TYPES: Readonly<Record<number, string>> = {
	1: "destination-unreachable",
	2: "packet-too-big",
	3: "time-exceeded",
	4: "parameter-problem",
	128: "echo-request",
	129: "echo-reply",
};

const NAMES: Readonly<Record<string, Readonly<Record<number, string>>>> = {
	inet_proto: PROTOCOLS,
	fib_addrtype: FIB_TYPES,
	nf_proto: NF_PROTOCOLS,
	arp_op: ARP_OPERATIONS,
	icmp_type: ICMP_TYPES,
	icmpv6_type: ICMPV6_TYPES,
};

/** Longer numbers are printed in hexadecimal. */
const DECIMAL_BYTES = 4;

/** Prints a value; the lowest `shift` bits are not part of it. */
export function valueText(bytes: Uint8Array, type: DataType, shift = 0): string {
	if (type.parts !== undefined) {
		return partsOf(bytes, type)
			.map((part) => valueText(part.bytes, part.type))
			.join(" . ");
	}
	if (
		(type.name === "ipv4_addr" && bytes.length === 4) ||
		(type.name === "ipv6_addr" && bytes.length === 16)
	) {
		return addressText(bytes);
	}
	if (type.name === "ether_addr" || type.name === "lladdr") {
		return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
	}
	if (type.name === "ifname") return interfaceText(bytes);
	const value = bytesNumber(bytes, type.order) >> BigInt(shift);
	if (type.name === "time") return `${value}ms`;
	// nft reads a number as seconds since the epoch; the kernel has nanoseconds.
	if (type.name === "date" && value % 1_000_000_000n === 0n) return String(value / 1_000_000_000n);
	if (type.name === "classid") return `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
	const name = value < 256n ? NAMES[type.name]?.[Number(value)] : undefined;
	if (name !== undefined) return name;
	if (type.name === "mark") return `0x${value.toString(16).padStart(8, "0")}`;
	return bytes.length > DECIMAL_BYTES ? `0x${value.toString(16)}` : String(value);
}

/** Prints a key of a set; bits of the packet without a field name are printed in hexadecimal. */
export function keyText(bytes: Uint8Array, type: DataType, shift: number): string {
	if (type.name !== "integer" || type.order === "host") return valueText(bytes, type, shift);
	return `0x${(bytesNumber(bytes, type.order) >> BigInt(shift)).toString(16)}`;
}

/** Prints the range of all names with a prefix as nft does; undefined for another range. */
export function wildcardText(first: Uint8Array, last: Uint8Array, { name }: DataType): string | undefined {
	const end = first.indexOf(0);
	if (name !== "ifname" || end < 0 || first.some((byte, at) => at >= end && byte !== 0)) return undefined;
	const isAll = last.every((byte, at) => byte === (at < end ? first[at] : 0xff));
	return isAll ? interfaceText(first.subarray(0, end)) : undefined;
}

/** Prints one end of a range: nft accepts no names there. */
export function boundText(bytes: Uint8Array, type: DataType, shift: number): string {
	return valueText(bytes, NAMES[type.name] === undefined ? type : { ...type, name: "integer" }, shift);
}

/** A quoted name. A name that no zero follows is a prefix. A star in the name itself is escaped. */
function interfaceText(bytes: Uint8Array): string {
	const end = bytes.indexOf(0);
	const name = Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString("utf8");
	const safe = printable(name).replace(/\*$/, "\\*");
	return `"${end < 0 ? `${safe}*` : safe}"`;
}
