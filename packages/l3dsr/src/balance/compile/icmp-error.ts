/** Sends an ICMP error from the path to a client to the real server of the flow that it quotes. */

import {
	IPV4,
	IPV6,
	IPV6_EXTENSION,
	IPV6_FRAGMENT,
	type Label,
	type Place,
	part,
	type Value,
	view,
} from "@l3dsr/bpf";
import { EXTENSION_HEADER, IPV4_FRAGMENT, IPV6_FRAGMENT_FIELD, PROTOCOL_NUMBER } from "@l3dsr/packet";
import { emitFindService, emitFoldAt } from "./find-service.ts";
import { ADDRESS4, ADDRESS6, type Packet, PORTS, STATE } from "./frame.ts";
import { emitUnlessExtension } from "./read-ipv6.ts";
import { pointerTo, type Ways } from "./transport.ts";

/** Unreachable (fragmentation needed), time exceeded, parameter problem; in IPv6, packet too big has its own type. */
const ERRORS = { ipv4: [3, 11, 12], ipv6: [1, 2, 3, 4] } as const;
const ICMP_BYTES = 8;
/** How much of the transport header every router quotes, in bytes. */
const QUOTED_BYTES = 8;

/** `at`: the ICMP header, with 8 bytes proven. */
export function emitIcmpError(packet: Packet, icmp: Value, end: Value, ways: Ways): void {
	const { p, slots, family, leave } = packet;
	const other = leave("icmp");
	p.comment("an error about a flow of the VIP?");
	p.gotoIf(slots.state, "&", STATE.firstFragment, other);
	{
		using type = p.load(part(view(icmp, PORTS).both, 0, 1), { name: "type" });
		p.gotoIf(type, ">", 63, other);
		p.gotoUnlessMember(type, ERRORS[family], other);
	}
	p.release(icmp);
	using quoted = pointerTo(
		packet,
		end,
		ICMP_BYTES + (family === "ipv4" ? IPV4.bytes : IPV6.bytes),
		other,
		"quoted",
	);
	using protocol = p.u32("protocol", 3);
	if (family === "ipv4") emitQuotedIpv4(packet, quoted, protocol, other);
	else emitQuotedIpv6(packet, quoted, end, protocol, other);
	const isBalanced = p.label("tcp or udp");
	const isUdp = p.label("udp");
	p.comment("turn the flow round: as its client sends it");
	{
		using state = p.u32("state").set(STATE.leavesNoEntry | (family === "ipv4" ? STATE.noChecksum : 0));
		p.gotoIf(protocol, "==", PROTOCOL_NUMBER.udp, isUdp);
		p.gotoIf(protocol, "==", PROTOCOL_NUMBER.tcp, isBalanced);
		p.goto(other);
		p.place(isUdp);
		state.or(STATE.udp);
		p.place(isBalanced);
		p.store(slots.state, state);
	}
	p.comment("the client is whom the quoted packet was for");
	p.revive(packet.hash);
	const destination =
		ICMP_BYTES +
		(family === "ipv4" ? view(quoted, IPV4).destination.offset : view(quoted, IPV6).destination.offset);
	emitFoldAt(packet, quoted, destination, packet.hash);
	p.comment("the checksum is the error's own");
	p.revive(packet.sumAt);
	packet.sumAt.set(quoted).add(2);
	p.release(quoted);
	{
		using transport = pointerTo(packet, end, QUOTED_BYTES, other, "quoted transport");
		p.release(end);
		p.revive(packet.ports);
		p.load(view(transport, PORTS).both, { into: packet.ports });
	}
	{
		using upper = p.copy(packet.ports, "upper").lsh(16);
		packet.ports.rsh(16).or(upper);
	}
	emitFindService(packet, protocol, leave("no-service"));
	p.goto(ways.found);
}

/** The quoted packet must have come from the VIP that the error is addressed to. */
function sameAddress({ p }: Packet, quoted: Place, vip: Place, otherwise: Label): void {
	using left = p.load(quoted);
	using right = p.load(vip);
	p.gotoIf(left, "!=", right, otherwise);
}

/** Sets `protocol` and the stack's `offset` to those of the quoted transport header. */
function emitQuotedIpv4(packet: Packet, quoted: Value, protocol: Value, other: Label): void {
	const { p, slots, data, link } = packet;
	const ip = view(quoted, IPV4, ICMP_BYTES);
	{
		using header = p.load(ip.versionIhl, { name: "quoted header" });
		{
			using version = p.copy(header, "version").rsh(4);
			p.gotoIf(version, "!=", 4, other);
		}
		header.and(0x0f).lsh(2);
		p.gotoIf(header, "<", IPV4.bytes, other);
		header.add(ICMP_BYTES);
		{
			using offset = p.load(slots.offset);
			header.add(offset);
		}
		p.store(slots.offset, header);
	}
	p.gotoIf(ip.fragment, "&", IPV4_FRAGMENT.offset, other);
	sameAddress(
		packet,
		view(quoted, ADDRESS4, ip.source.offset).word,
		view(data, ADDRESS4, view(data, IPV4, link).destination.offset).word,
		other,
	);
	p.load(ip.protocol, { into: protocol });
}

function emitQuotedIpv6(packet: Packet, quoted: Value, end: Value, protocol: Value, other: Label): void {
	const { p, slots, data, link } = packet;
	const ip = view(quoted, IPV6, ICMP_BYTES);
	{
		using version = p.load(part(ip.versionClassFlow, 0, 1), { name: "version" }).rsh(4);
		p.gotoIf(version, "!=", 6, other);
	}
	const source = view(quoted, ADDRESS6, ip.source.offset);
	const vip = view(data, ADDRESS6, view(data, IPV6, link).destination.offset);
	sameAddress(packet, source.high, vip.high, other);
	sameAddress(packet, source.low, vip.low, other);
	p.load(ip.nextHeader, { into: protocol });
	{
		using offset = p.load(slots.offset);
		offset.add(ICMP_BYTES + IPV6.bytes);
		p.store(slots.offset, offset);
	}
	const plain = p.label("no extension header quoted");
	emitUnlessExtension(packet, protocol, plain);
	p.comment("one extension header may stand before the quoted ports");
	{
		using at = pointerTo(packet, end, IPV6_EXTENSION_LEAST, other, "quoted extension");
		const header = view(at, IPV6_EXTENSION);
		using size = p.load(header.length, { name: "size" });
		const known = p.label("size known");
		const isFragment = p.label("fragment quoted");
		const usual = p.label("usual header quoted");
		p.gotoIf(protocol, "==", EXTENSION_HEADER.fragment, isFragment);
		p.gotoIf(protocol, "!=", EXTENSION_HEADER.authentication, usual);
		size.add(2).lsh(2);
		p.goto(known);
		p.place(isFragment);
		p.gotoIf(view(at, IPV6_FRAGMENT).fragment, "&", IPV6_FRAGMENT_FIELD.offset, other);
		size.set(0);
		p.place(usual);
		size.add(1).lsh(3);
		p.place(known);
		p.load(header.nextHeader, { into: protocol });
		using offset = p.load(slots.offset);
		offset.add(size);
		p.store(slots.offset, offset);
	}
	p.place(plain);
}

const IPV6_EXTENSION_LEAST = 8;
