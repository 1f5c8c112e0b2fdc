/**
 * The path of all packets but plain TCP and UDP. When it begins, no register holds anything, and nothing of the
 * packet has been written.
 */

import { ICMP, IPV4, IPV6, type Label, part, TCP, UDP, type Value, view } from "@l3dsr/bpf";
import { PROTOCOL_NUMBER } from "@l3dsr/packet";
import { ECHO, KIND } from "../tables/layout.ts";
import { findAgain } from "./arrival.ts";
import { emitCheckHops } from "./choose.ts";
import { emitEcho } from "./echo.ts";
import { emitFindAddress, emitFindService, emitFoldAt } from "./find-service.ts";
import { emitTellClass } from "./forward.ts";
import { emitRecallDatagram } from "./fragment-memory.ts";
import { type Packet, PORTS, START, START_RAW, STATE, VIP_ENTRY } from "./frame.ts";
import { emitIcmpError } from "./icmp-error.ts";
import { emitReadIpv4 } from "./read-ipv4.ts";
import { emitReadIpv6 } from "./read-ipv6.ts";
import { emitTcpState, emitUdpState, HEADER_LENGTH, pointerTo, type Ways } from "./transport.ts";

const { tcp, udp } = PROTOCOL_NUMBER;
const ICMP_NUMBER = { ipv4: PROTOCOL_NUMBER.icmp, ipv6: PROTOCOL_NUMBER.icmpv6 } as const;

export function emitUnusual(packet: Packet, ways: Ways): void {
	const { p, slots, family, data, link, vip, leave } = packet;
	using end = findAgain(packet, data, HEADER_LENGTH[family]);
	p.store(slots.state, 0);
	{
		using version = p.load(part(view(data, START_RAW, link).start, 0, 1), { name: "version" }).rsh(4);
		p.gotoIf(version, "!=", family === "ipv4" ? 4 : 6, leave("not-ip"));
	}
	emitFindAddress(packet, leave("not-vip"));
	const isVip = p.label("a VIP");
	const { kind } = view(vip, VIP_ENTRY);
	p.gotoIf(kind, "==", KIND.vip, isVip);
	if (packet.options.bleach) emitBleach(packet);
	else p.goto(leave("not-vip"));

	p.place(isVip);
	const later = p.label("later fragment");
	if (family === "ipv4") emitReadIpv4(packet, end, later);
	else emitReadIpv6(packet, end, later);
	p.comment("which protocol?");
	const icmp = p.label("icmp");
	{
		using protocol = p.load(slots.protocol, { in: 3 });
		const isTcp = p.label("tcp");
		const isUdp = p.label("udp");
		p.gotoIf(protocol, "==", ICMP_NUMBER[family], icmp);
		p.gotoIf(protocol, "==", tcp, isTcp);
		p.gotoIf(protocol, "==", udp, isUdp);
		p.goto(leave("no-service"));
		p.place(isTcp);
		emitTransport(packet, protocol, end, tcp, ways.found);
		p.place(isUdp);
		emitTransport(packet, protocol, end, udp, ways.found);
	}
	p.place(icmp);
	emitIcmp(packet, end, ways);
	p.place(later);
	emitLaterFragment(packet, ways);
}

/** A packet sent directly to a real server: clears a code of ours that came from outside. */
function emitBleach(packet: Packet): void {
	const { p, family, data, link, vip, leave } = packet;
	const { kind, codes } = view(vip, VIP_ENTRY);
	p.gotoIf(kind, "!=", KIND.real, leave("not-vip"));
	p.comment("straight to a real server: with a code of ours?");
	const { start } = view(data, START, link);
	const shift = family === "ipv4" ? 2 : 6;
	{
		using code = p.load(start, { name: "code" }).toHost();
		code.rsh(shift).and(0x3f);
		using all = p.load(codes);
		all.rsh(code);
		p.gotoUnless(all, "&", 1, leave("not-vip"));
	}
	p.comment("clear the DSCP");
	const before = p.load(start, { name: "before" });
	const after = p.copy(before, "after").and(family === "ipv4" ? 0xff03 : 0xf03f);
	p.store(start, after);
	if (family === "ipv4") {
		const change = before.raw(64);
		after.xor(0xffff);
		change.add(after);
		p.addToChecksum(view(data, IPV4, link).checksum, change, 2n * 0xffffn);
		p.release(change, after);
	} else emitTellClass(packet, before, after);
	p.goto(leave("bleached"));
}

/** TCP or UDP at any offset, up to its service. */
function emitTransport(packet: Packet, protocol: Value, end: Value, number: 6 | 17, found: Label): void {
	const { p, family, data, link, hash, ports, sumAt, leave } = packet;
	p.comment(number === tcp ? "TCP, wherever it begins" : "UDP, wherever it begins");
	const header = number === tcp ? TCP : UDP;
	const at = pointerTo(packet, end, header.bytes, leave("transport-cut"), "transport");
	if (number === tcp) emitTcpState(packet, at);
	else emitUdpState(packet, at);
	p.revive(sumAt);
	sumAt.set(at).add(header.fields.checksum.offset);
	p.revive(ports);
	p.load(view(at, PORTS).both, { into: ports });
	p.release(at, end);
	p.revive(hash);
	const source = family === "ipv4" ? view(data, IPV4, link).source : view(data, IPV6, link).source;
	emitFoldAt(packet, data, source.offset, hash);
	emitFindService(packet, protocol, leave("no-service"));
	p.goto(found);
}

function emitIcmp(packet: Packet, end: Value, ways: Ways): void {
	const { p, family, leave } = packet;
	p.comment("ICMP");
	using at = pointerTo(packet, end, 8, leave("transport-cut"), "icmp");
	const isEcho = p.label("echo request");
	const { type, code } = view(at, ICMP);
	const other = p.label("not an echo request");
	p.gotoIf(type, "!=", family === "ipv4" ? 8 : 128, other);
	p.gotoIf(code, "==", 0, isEcho);
	p.place(other);
	emitIcmpError(packet, at, end, ways);
	p.place(isEcho);
	emitEcho(packet, at, ways);
}

/** A later fragment has no ports, so it follows the first one. */
function emitLaterFragment(packet: Packet, ways: Ways): void {
	const { p, slots, family, data, sumAt, vip, leave } = packet;
	const unknown = p.label("datagram unknown");
	emitRecallDatagram(packet, unknown);
	p.comment("it goes where the first fragment went");
	p.store(slots.state, STATE.noChecksum);
	emitCheckHops(packet);
	p.revive(sumAt);
	sumAt.set(data);
	p.release(vip);
	p.goto(ways.numbered);

	p.place(unknown);
	p.comment("the first fragment was not seen");
	const drop = leave("fragment-unknown");
	using protocol = p.load(slots.datagramProtocol);
	p.gotoIf(protocol, "==", tcp, drop);
	p.gotoIf(protocol, "==", udp, drop);
	p.gotoIf(protocol, "!=", ICMP_NUMBER[family], leave("no-service"));
	p.gotoIf(view(vip, VIP_ENTRY).echo, "==", ECHO.server, drop);
	p.goto(leave("icmp"));
}
