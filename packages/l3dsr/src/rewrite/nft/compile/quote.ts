/**
 * The packet that an ICMP error quotes, by its offset in the message: directly after its IP header, which must be
 * plain for IPv4, or for IPv6 also after a fragment header.
 */
import { type Expression, masked, match, meta, type Operand, rawField } from "@l3dsr/nftables";
import {
	EXTENSION_HEADER,
	type Family,
	ICMP_ERROR_TYPES,
	IPV4_FRAGMENT,
	IPV6_FRAGMENT_FIELD,
	PROTOCOL_NUMBER,
} from "@l3dsr/packet";
import { PORTS_PRESENT } from "./port-match.ts";

/** Bytes of an ICMP message before the quote. */
const ICMP_BYTES = 8;
const ICMP_CHECKSUM_OFFSET = 2;

export interface QuotedPacket {
	/** The packet is an ICMP error that quotes one like this. */
	readonly conditions: readonly Expression[];
	readonly source: Operand;
	readonly destination: Operand;
	readonly sourcePort: Operand;
	readonly destinationPort: Operand;
	/** Offset of the source port, in bytes from the start of the message. */
	readonly portsOffset: number;
}

/** The possible forms of a quoted packet of this protocol. */
export function quotesOf(family: Family, protocol: number): readonly QuotedPacket[] {
	return family === "ipv4" ? [quotedIpv4(protocol)] : [quotedIpv6(protocol), quotedFragment(protocol)];
}

function quotedIpv4(protocol: number): QuotedPacket {
	return {
		conditions: [
			...icmpError("ipv4"),
			// Version 4 and a header of five words.
			...match(at(0, 1), "==", 0x45),
			...match(masked(at(6, 2), IPV4_FRAGMENT.offset), "==", 0),
			...match(at(9, 1), "==", protocol),
		],
		source: at(12, 4),
		destination: at(16, 4),
		...portsAt(20),
	};
}

function quotedIpv6(protocol: number): QuotedPacket {
	return {
		conditions: [...quotedIpv6Header(), ...match(at(6, 1), "==", protocol)],
		...IPV6_ADDRESSES,
		...portsAt(40),
	};
}

function quotedFragment(protocol: number): QuotedPacket {
	return {
		conditions: [
			...quotedIpv6Header(),
			...match(at(6, 1), "==", EXTENSION_HEADER.fragment),
			...match(at(40, 1), "==", protocol),
			...match(masked(at(42, 2), IPV6_FRAGMENT_FIELD.offset), "==", 0),
		],
		...IPV6_ADDRESSES,
		...portsAt(48),
	};
}

const IPV6_ADDRESSES = { source: at(8, 16), destination: at(24, 16) };

function quotedIpv6Header(): readonly Expression[] {
	return [...icmpError("ipv6"), ...match(masked(at(0, 1), 0xf0), "==", 0x60)];
}

function icmpError(family: Family): readonly Expression[] {
	return [
		...match(meta("l4proto"), "==", family === "ipv4" ? PROTOCOL_NUMBER.icmp : PROTOCOL_NUMBER.icmpv6),
		...isErrorType(family),
		...PORTS_PRESENT,
	];
}

/** As ranges: a set would be created for each rule, and cost the kernel more time than the rest of the rule. */
function isErrorType(family: Family): readonly Expression[] {
	const type = rawField("transport", 0, 8);
	const types: readonly number[] = ICMP_ERROR_TYPES[family];
	const [first, last] = [Math.min(...types), Math.max(...types)];
	const gaps = types
		.map((one, index) => ({ first: one + 1, last: (types[index + 1] ?? one + 1) - 1 }))
		.filter((gap) => gap.first <= gap.last);
	return [...match(type, "==", { first, last }), ...gaps.flatMap((gap) => match(type, "!=", gap))];
}

/** These bytes of the quoted packet. */
function at(offset: number, bytes: number): Operand {
	return rawField("transport", 8 * (ICMP_BYTES + offset), 8 * bytes);
}

function portsAt(offset: number): Pick<QuotedPacket, "sourcePort" | "destinationPort" | "portsOffset"> {
	return {
		sourcePort: at(offset, 2),
		destinationPort: at(offset + 2, 2),
		portsOffset: ICMP_BYTES + offset,
	};
}

/** A port in an ICMP message as a place to write; the message's checksum covers it. */
export function quotedPort(offset: number): Operand {
	return {
		...rawField("transport", 8 * offset, 16),
		place: { base: "transport", offset, checksum: ICMP_CHECKSUM_OFFSET },
	};
}
