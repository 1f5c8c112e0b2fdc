/** A packet's headers as fields with names, for people and for JSON. Pure. */
import {
	addressFromBytes,
	byteAt,
	dscpOfTos,
	formatDscp,
	type ParsedPacket,
	PROTOCOL_NUMBER,
	wordAt,
} from "@l3dsr/packet";
import { protocolName } from "../../syntax/iptables/names.ts";

export interface HeaderField {
	/** `IPv4`, `tcp`, … */
	readonly header: string;
	readonly name: string;
	readonly value: string;
}

export interface ComparedField {
	readonly header: string;
	readonly name: string;
	readonly before: string;
	readonly after: string;
	readonly changed: boolean;
}

/** Every field of both; a rewrite changes values, never the set of fields. */
export function compareFields(
	before: readonly HeaderField[],
	after: readonly HeaderField[],
): ComparedField[] {
	return before.map(({ header, name, value }, index) => {
		const now = after[index]?.value ?? "";
		return { header, name, before: value, after: now, changed: value !== now };
	});
}

/** `packet` is the parsed form of `bytes`. */
export function headerFields(bytes: Uint8Array, packet: ParsedPacket): HeaderField[] {
	const ip = packet.family === "ipv4" ? ipv4Fields(bytes, packet) : ipv6Fields(bytes, packet);
	return [...ip, ...transportFields(bytes, packet)];
}

const ECN_NAMES = ["not ECT", "ECT(1)", "ECT(0)", "CE"];

function commonFields(packet: ParsedPacket): [string, string][] {
	return [
		["source", addressFromBytes(packet.source).text],
		["destination", addressFromBytes(packet.destination).text],
		["DSCP", formatDscp(dscpOfTos(packet.tos))],
		["ECN", `${packet.tos & 3} (${ECN_NAMES[packet.tos & 3]})`],
	];
}

function ipv4Fields(bytes: Uint8Array, packet: ParsedPacket): HeaderField[] {
	const flags = wordAt(bytes, 6);
	const options = (byteAt(bytes, 0) & 0x0f) * 4 - 20;
	return named("IPv4", [
		...commonFields(packet),
		["TTL", String(packet.ttl)],
		["length", String(packet.length)],
		["identification", hex(wordAt(bytes, 4))],
		["fragment", fragmentText((flags & 0x1fff) * 8, (flags & 0x2000) !== 0, (flags & 0x4000) !== 0)],
		["protocol", protocolText(byteAt(bytes, 9))],
		...(options > 0 ? [["options", `${options} bytes`] as [string, string]] : []),
		["checksum", hex(wordAt(bytes, 10))],
	]);
}

function ipv6Fields(bytes: Uint8Array, packet: ParsedPacket): HeaderField[] {
	return named("IPv6", [
		...commonFields(packet),
		["hop limit", String(packet.ttl)],
		["length", String(packet.length)],
		[
			"flow label",
			`0x${(((byteAt(bytes, 1) & 0x0f) << 16) | wordAt(bytes, 2)).toString(16).padStart(5, "0")}`,
		],
		["next header", protocolText(byteAt(bytes, 6))],
		...(packet.laterFragment ? [["fragment", "a later one"] as [string, string]] : []),
		...(packet.protocol === undefined || packet.protocol === byteAt(bytes, 6)
			? []
			: [["protocol", protocolText(packet.protocol)] as [string, string]]),
	]);
}

function transportFields(bytes: Uint8Array, { transport, length }: ParsedPacket): HeaderField[] {
	if (transport === undefined) return [];
	const { protocol, offset, portsPresent, checksumOffset, checksumPresent } = transport;
	const fields: [string, string][] = [];
	if (portsPresent) {
		fields.push(
			["source port", String(wordAt(bytes, offset))],
			["destination port", String(wordAt(bytes, offset + 2))],
		);
	}
	if (protocol === PROTOCOL_NUMBER.tcp && offset + 14 <= length) {
		fields.push(["flags", tcpFlags(byteAt(bytes, offset + 13))]);
	}
	const icmp = protocol === PROTOCOL_NUMBER.icmp || protocol === PROTOCOL_NUMBER.icmpv6;
	if (icmp && offset + 2 <= length) {
		fields.push(["type", `${byteAt(bytes, offset)}, code ${byteAt(bytes, offset + 1)}`]);
	}
	if (checksumOffset !== undefined && checksumPresent) {
		fields.push(["checksum", hex(wordAt(bytes, checksumOffset))]);
	}
	return named(protocolName(protocol), fields);
}

const TCP_FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

function tcpFlags(bits: number): string {
	return TCP_FLAGS.filter((_, index) => (bits & (1 << index)) !== 0).join(" ") || "none";
}

function fragmentText(offset: number, more: boolean, dontFragment: boolean): string {
	if (offset === 0 && !more) return dontFragment ? "none (DF)" : "none";
	return `bytes from ${offset} on${more ? ", more follow" : ", the last"}`;
}

function protocolText(number: number): string {
	const name = protocolName(number);
	return name === String(number) ? name : `${number} (${name})`;
}

function hex(value: number): string {
	return `0x${value.toString(16).padStart(4, "0")}`;
}

function named(header: string, fields: readonly (readonly [string, string])[]): HeaderField[] {
	return fields.map(([name, value]) => ({ header, name, value }));
}
