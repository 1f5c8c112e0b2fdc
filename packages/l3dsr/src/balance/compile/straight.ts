/**
 * The straight path for the most common packets: TCP or UDP directly after a plain IP header. Any other packet jumps
 * to `unusual` before anything is written.
 */

import { IPV4, IPV6, type Label, part, TCP, UDP, type Value, view } from "@l3dsr/bpf";
import { IPV4_FRAGMENT, PROTOCOL_NUMBER } from "@l3dsr/packet";
import { arrivedBytes } from "./arrival.ts";
import { emitFilter, emitFindService, emitFoldAt } from "./find-service.ts";
import { type Packet, PORTS } from "./frame.ts";
import { emitTcpState, emitUdpState, HEADER_LENGTH } from "./transport.ts";

const { tcp, udp } = PROTOCOL_NUMBER;
/** Version 4 and a header of five words, so no options. */
const PLAIN_HEADER = 0x45;

/** Continues to the service and jumps to `found`. `end` is gone afterwards. */
export function emitStraight(packet: Packet, end: Value, unusual: Label, found: Label): void {
	const { p, slots, family, data, link, hash, ports, sumAt } = packet;
	const header = HEADER_LENGTH[family];
	p.comment("in a straight line: TCP or UDP behind a plain header");
	p.prove(data, link + header + UDP.bytes, end, unusual);
	using protocol = p.u32("protocol", 3);
	if (family === "ipv4") {
		const ip = view(data, IPV4, link);
		p.gotoIf(ip.versionIhl, "!=", PLAIN_HEADER, unusual);
		emitFilter(packet);
		p.gotoIf(ip.fragment, "&", IPV4_FRAGMENT.more | IPV4_FRAGMENT.offset, unusual);
		p.load(ip.protocol, { into: protocol });
	} else {
		const ip = view(data, IPV6, link);
		{
			using version = p.load(part(ip.versionClassFlow, 0, 1), { name: "version" }).and(0xf0);
			p.gotoIf(version, "!=", 0x60, unusual);
		}
		emitFilter(packet);
		p.load(ip.nextHeader, { into: protocol });
	}
	p.revive(sumAt);
	sumAt.set(data).add(link + header);
	{
		using length = emitLength(packet, end, unusual);
		p.if(
			protocol,
			"==",
			tcp,
			() => {
				p.comment("TCP");
				p.gotoIf(length, "<", header + TCP.bytes, unusual);
				p.prove(sumAt, TCP.bytes, end, unusual);
				emitTcpState(packet, sumAt);
				sumAt.add(TCP.fields.checksum.offset);
			},
			() => {
				p.gotoIf(protocol, "!=", udp, unusual);
				p.comment("UDP");
				p.gotoIf(length, "<", header + UDP.bytes, unusual);
				emitUdpState(packet, sumAt);
				sumAt.add(UDP.fields.checksum.offset);
			},
		);
		p.store(slots.length, length);
	}
	p.release(end);
	p.revive(ports);
	p.load(view(data, PORTS, link + header).both, { into: ports });
	p.revive(hash);
	const { source } = family === "ipv4" ? view(data, IPV4, link) : view(data, IPV6, link);
	emitFoldAt(packet, data, source.offset, hash);
	emitFindService(packet, protocol, unusual);
	p.goto(found);
}

/** Length of the IP packet; at most what was received. */
function emitLength(packet: Packet, end: Value, unusual: Label): Value {
	const { p, family, data, link } = packet;
	const length =
		family === "ipv4"
			? p.load(view(data, IPV4, link).totalLength, { name: "length" }).toHost()
			: p
					.load(view(data, IPV6, link).payloadLength, { name: "length" })
					.toHost()
					.add(IPV6.bytes);
	using arrived = arrivedBytes(packet, data, end);
	p.gotoIf(length, ">", arrived, unusual);
	return length;
}
