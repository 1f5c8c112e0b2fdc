/** What happens to an answer on its way out if rules set a port: its source port is translated back. */
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
			/** Index of the way that was used. */
			readonly way: number;
	  };

/**
 * Translates a packet that this host sends (`input`, from its network header): the source port of an answer becomes
 * the one that the client sent to, and so does the destination port that an ICMP error of this host quotes. The first
 * matching way is used. Forwarded packets do not come here.
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

/** True if the packet has a whole transport checksum, as on the way in, and ports as a rule sees them. */
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

/**
 * True for an ICMP error of this host about a packet for the VIP: it quotes that packet as the rules have changed it.
 */
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
