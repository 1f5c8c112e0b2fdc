/** What becomes of an answer on its way out, where rules set a port: the source port is translated back. */
import {
	addressFromBytes,
	type ParsedPacket,
	parsePacket,
	prefixContains,
	putWord,
	quoteOf,
	sameAddress,
	wordAt,
} from "@l3dsr/packet";
import type { WayBack } from "../../model/way-back.ts";
import { replaceInTransportChecksum, replaceQuotedPort } from "./rewrite.ts";

export type WayBackResult =
	| {
			readonly translated: false;
			readonly bytes: Uint8Array;
	  }
	| {
			readonly translated: true;
			/** A new array, as long as the input. */
			readonly bytes: Uint8Array;
			/** Which of the ways. */
			readonly way: number;
	  };

/**
 * A packet of this host (`input`, from its network header), as it leaves: an answer's source port is the one that the
 * client has sent to, and so is the destination port in what an ICMP error of this host quotes. The first way that
 * an answer has is taken. Packets that the host forwards do not come here.
 */
export function translateBack(input: Uint8Array, ways: readonly WayBack[]): WayBackResult {
	const bytes = Uint8Array.from(input);
	const packet = parsePacket(bytes);
	if (typeof packet === "string") return { translated: false, bytes };
	const way = ways.findIndex((one) => answerOf(one, packet, bytes) || quotes(one, packet, bytes));
	const found = ways[way];
	if (found === undefined) return { translated: false, bytes };
	const quote = quoteOf(bytes, packet);
	if (quote !== undefined) {
		replaceQuotedPort(bytes, quote.transportOffset + 2, quote.checksumOffset, found.to);
	} else if (packet.transport !== undefined) {
		const { offset } = packet.transport;
		const before = bytes.slice(offset, offset + 2);
		putWord(bytes, offset, found.to);
		replaceInTransportChecksum(bytes, packet.transport, before, bytes.slice(offset, offset + 2));
	}
	return { translated: true, bytes, way };
}

/** A whole transport checksum has to be there, as on the way in; and ports as a rule sees them. */
function answerOf(way: WayBack, packet: ParsedPacket, bytes: Uint8Array): boolean {
	const { transport } = packet;
	return (
		transport !== undefined &&
		transport.protocol === way.protocol &&
		packet.protocol === way.protocol &&
		transport.portsPresent &&
		transport.checksumPresent &&
		isBetween(way, packet.source, packet.destination) &&
		wordAt(bytes, transport.offset) === way.from
	);
}

/** An ICMP error of this host about a packet that came for the VIP: it quotes that as the rules have left it. */
function quotes(way: WayBack, packet: ParsedPacket, bytes: Uint8Array): boolean {
	const quote = quoteOf(bytes, packet);
	return (
		quote !== undefined &&
		quote.protocol === way.protocol &&
		isBetween(way, quote.destination, quote.source) &&
		quote.destinationPort === way.from
	);
}

function isBetween({ vip, client }: WayBack, here: Uint8Array, there: Uint8Array): boolean {
	return (
		sameAddress(addressFromBytes(here), vip) &&
		(client === undefined || prefixContains(client, addressFromBytes(there)))
	);
}
