/** The packets to trace: from fields, from hex, or from a capture. */

import {
	type Address,
	decodeCapture,
	isKnownLinkType,
	LINK_TYPE,
	MAX_PORT,
	networkPacketOf,
	parsePacket,
	sameAddress,
} from "@l3dsr/packet";
import { L3dsrError } from "../../errors.ts";
import { CAPTURE_LIMIT_BYTES, readBytes, readFailure } from "../../host/files.ts";
import { buildPacket, type PacketTransport } from "../../inspect/trace/build-packet.ts";
import { type InputPacket, type OtherFrame, packetIn } from "../../inspect/trace/input-packet.ts";
import { addressOption, dscpOption, usage, wholeNumber } from "../option-values.ts";

export interface TraceOptions {
	readonly from?: string;
	readonly to?: string;
	readonly dscp?: string;
	readonly ecn?: string;
	readonly ttl?: string;
	readonly tcp?: string;
	readonly udp?: string;
	readonly icmp?: boolean;
	readonly hex?: string;
}

export interface TraceInput {
	/** One packet, printed in full; or a capture. */
	readonly kind: "packet" | "capture";
	readonly packets: readonly (InputPacket | OtherFrame)[];
	readonly notes: readonly string[];
}

/** `file` `-` is stdin. Throws L3dsrError (USAGE, FILE_READ, CAPTURE_FORMAT). */
export function readInput(file: string | undefined, options: TraceOptions): TraceInput {
	const ways = [file, options.hex, options.to ?? options.from].filter((way) => way !== undefined);
	if (ways.length !== 1) {
		throw usage(
			ways.length === 0 ? "there is no packet to trace" : "trace takes one packet or one capture",
			"l3dsr trace --from ADDRESS --to ADDRESS --dscp N --tcp PORT, --hex BYTES, or a capture file (- for stdin)",
		);
	}
	if (file !== undefined) return readCapture(file);
	const bytes = options.hex === undefined ? packetOfFields(options) : bytesOfHex(options.hex);
	const isPacket = typeof parsePacket(bytes) !== "string";
	const found = isPacket ? undefined : networkPacketOf(bytes, LINK_TYPE.ethernet);
	const linkType = typeof found === "object" ? LINK_TYPE.ethernet : LINK_TYPE.raw;
	const frame = { linkType, timestampNs: 0n, bytes, lengthBytes: bytes.length };
	return { kind: "packet", packets: [packetIn(frame)], notes: [] };
}

function readCapture(file: string): TraceInput {
	let bytes: Uint8Array;
	try {
		bytes = readBytes(file, CAPTURE_LIMIT_BYTES);
	} catch (cause) {
		throw readFailure("FILE_READ", "capture", file, cause);
	}
	const { packets, cutShort } = decodeCapture(bytes, file === "-" ? "stdin" : file);
	const unknown = packets.find(({ linkType }) => !isKnownLinkType(linkType));
	if (unknown !== undefined && packets.every(({ linkType }) => !isKnownLinkType(linkType))) {
		throw new L3dsrError({
			code: "CAPTURE_FORMAT",
			message: `read capture ${file}: its link type ${unknown.linkType} is not supported`,
			hint: "supported are Ethernet, raw IP and Linux cooked captures",
		});
	}
	const notes = cutShort ? ["the capture ends within a packet, which is left out"] : [];
	return { kind: "capture", packets: packets.map(packetIn), notes };
}

function bytesOfHex(text: string): Uint8Array {
	const digits = text.replace(/0x|[\s:,]/g, "");
	if (digits.length < 2 || digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits)) {
		throw usage("--hex needs bytes of two hex digits each", "blanks and colons between them are allowed");
	}
	return Uint8Array.from(Buffer.from(digits, "hex"));
}

function packetOfFields(options: TraceOptions): Uint8Array {
	const source = address("--from", options.from);
	const destination = address("--to", options.to);
	if (source.family !== destination.family) throw usage("--from and --to have different address families");
	if (sameAddress(source, destination)) throw usage("--from and --to are the same address");
	return buildPacket({
		source,
		destination,
		dscp: dscpOption(options.dscp ?? "0"),
		ecn: wholeNumber("--ecn", options.ecn ?? "0", 0, 3),
		ttl: wholeNumber("--ttl", options.ttl ?? "64", 0, 255),
		transport: transportOf(options),
	});
}

function address(option: string, text: string | undefined): Address {
	if (text !== undefined) return addressOption(option, text);
	throw usage(
		`${option} is missing`,
		"describe a packet with --from ADDRESS --to ADDRESS, --dscp N, and --tcp PORT, --udp PORT or --icmp",
	);
}

function transportOf({ tcp, udp, icmp }: TraceOptions): PacketTransport {
	const given = [tcp, udp, icmp].filter((one) => one !== undefined);
	if (given.length > 1) throw usage("--tcp, --udp and --icmp exclude each other");
	if (icmp === true) return { kind: "icmp" };
	const kind = udp === undefined ? "tcp" : "udp";
	const [to = "80", from = "40000", ...more] = (tcp ?? udp ?? "80").split(",");
	if (more.length > 0) throw usage(`--${kind} takes PORT or PORT,SOURCEPORT`);
	return {
		kind,
		destinationPort: wholeNumber(`--${kind}`, to, 0, MAX_PORT),
		sourcePort: wholeNumber(`--${kind}`, from, 0, MAX_PORT),
	};
}
