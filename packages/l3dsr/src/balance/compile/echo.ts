/** A ping to the VIP: answered by the kernel, by the program or by a real server. */
import { IPV4, IPV6, part, struct, type Value, view, XDP_ACTION } from "@l3dsr/bpf";
import { ECHO } from "../tables/layout.ts";
import { emitCheckSource } from "./choose.ts";
import { emitCountReason } from "./count.ts";
import { emitFoldAt } from "./find-service.ts";
import { ADDRESS4, ADDRESS6, MACS, type Packet, STATE, VIP_ENTRY } from "./frame.ts";
import type { Ways } from "./transport.ts";

/** TTL and hop limit of a reply. */
const REPLY_HOPS = 64;
const REPLY_TYPE = { ipv4: 0, ipv6: 129 } as const;
const ICMP_START = struct("icmp", { typeCode: "be16", checksum: "be16" });

/** `icmp`: an echo request, proven for 8 bytes; gone afterwards. */
export function emitEcho(packet: Packet, icmp: Value, ways: Ways): void {
	const { p, options, slots, family, data, link, hash, ports, sumAt, vip, leave } = packet;
	const { echo, room } = view(vip, VIP_ENTRY);
	const byServer = p.label("echo by a real server");
	p.comment("who answers a ping?");
	{
		using mode = p.load(echo, { name: "echo" });
		p.gotoIf(mode, "==", ECHO.server, byServer);
		if (options.echoReply && options.hook === "xdp") p.gotoIf(mode, "!=", ECHO.reply, leave("echo"));
		else p.goto(leave("echo"));
	}
	if (options.echoReply && options.hook === "xdp") emitReply(packet, icmp);

	p.place(byServer);
	p.comment("a real server, by the client's address");
	emitCheckSource(packet);
	p.gotoIf(room, "==", 0, leave("no-service"));
	{
		using state = p.load(slots.state, { name: "state" });
		state.or(STATE.leavesNoEntry | (family === "ipv4" ? STATE.noChecksum : 0));
		p.store(slots.state, state);
	}
	p.revive(sumAt);
	sumAt.set(icmp).add(2);
	p.release(icmp);
	p.revive(hash);
	const { source } = family === "ipv4" ? view(data, IPV4, link) : view(data, IPV6, link);
	emitFoldAt(packet, data, source.offset, hash);
	p.revive(ports);
	ports.set(0);
	p.goto(ways.found);
}

/** Replies from the program, if nothing stands between the IP header and the request. */
function emitReply(packet: Packet, icmp: Value): void {
	const { p, slots, family, data, link, leave } = packet;
	p.comment("answer it: nothing but a plain, whole packet");
	const header = family === "ipv4" ? IPV4.bytes : IPV6.bytes;
	p.gotoIf(slots.offset, "!=", header, leave("echo"));
	p.gotoIf(slots.state, "&", STATE.firstFragment, leave("echo"));
	emitCheckSource(packet);
	p.comment("back to where it came from");
	{
		const macs = view(data, MACS).both;
		for (const offset of [0, 2, 4]) {
			using destination = p.load(part(macs, offset, 2));
			using source = p.load(part(macs, 6 + offset, 2));
			p.store(part(macs, offset, 2), source);
			p.store(part(macs, 6 + offset, 2), destination);
		}
	}
	if (family === "ipv4") {
		const ip = view(data, IPV4, link);
		const [from, to] = [ip.source, ip.destination].map(({ offset }) => view(data, ADDRESS4, offset).word);
		if (from === undefined || to === undefined) return;
		{
			using client = p.load(from);
			using vip = p.load(to);
			p.store(from, vip);
			p.store(to, client);
		}
		p.comment("a TTL of its own; the addresses have only changed places");
		using difference = p.load(ip.ttl, { name: "difference" }).raw(64);
		difference.add(0xffff - REPLY_HOPS);
		p.store(ip.ttl, REPLY_HOPS);
		p.addToChecksum(ip.checksum, difference, 0x100ffn);
	} else {
		const ip = view(data, IPV6, link);
		const from = view(data, ADDRESS6, ip.source.offset);
		const to = view(data, ADDRESS6, ip.destination.offset);
		for (const half of ["high", "low"] as const) {
			using client = p.load(from[half]);
			using vip = p.load(to[half]);
			p.store(from[half], vip);
			p.store(to[half], client);
		}
		p.store(ip.hopLimit, REPLY_HOPS);
	}
	p.comment("the type, and the ICMP checksum");
	{
		const { typeCode, checksum } = view(icmp, ICMP_START);
		using difference = p.load(typeCode, { name: "difference" }).raw(64);
		difference.add(0xffff - REPLY_TYPE[family]);
		p.store(typeCode, REPLY_TYPE[family] << 8);
		p.addToChecksum(checksum, difference, 0x1ffffn);
	}
	p.comment("count the answer");
	emitCountReason(packet, "echo-reply");
	p.exit(XDP_ACTION.TX);
}
