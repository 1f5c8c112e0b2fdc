/** Reads an IPv4 packet whose DSCP has rules: afterwards its transport, kind and length are known. */

import { IPV4, view } from "@l3dsr/bpf";
import { IPV4_FRAGMENT } from "@l3dsr/packet";
import { KIND, type Packet, type ParsedPacket } from "./packet.ts";
import { arrivedBytes } from "./packet-bytes.ts";

/** Version 4 and a header of five words, so no options. */
export const PLAIN_HEADER = 0x45;

export function emitParseIpv4<P extends Packet>(packet: P): P & ParsedPacket {
	const { p, data, skb, stack, target, pass } = packet;
	const link = target.linkHeaderBytes;
	const ip = view(data, IPV4, link);
	p.comment("where the transport header begins");
	const transport = p.u64("transport", "kept").set(link + IPV4.bytes);
	{
		using versionIhl = p.load(ip.versionIhl);
		p.unlikely(versionIhl, "!=", PLAIN_HEADER, () => {
			p.comment("header with options: version 4, at least 20 bytes");
			using version = p.copy(versionIhl, "version").rsh(4);
			p.gotoIf(version, "!=", 4, pass);
			versionIhl.and(0x0f).lsh(2);
			p.gotoIf(versionIhl, "<", IPV4.bytes, pass);
			transport.set(versionIhl).add(link);
		});
	}
	p.comment("check the total length against what arrived");
	{
		using length = p.load(ip.totalLength, { name: "length" }).toHost();
		using arrived = arrivedBytes(packet);
		using header = p.copy(transport, "header").sub(link);
		p.unlikely(length, "<", header, () => {
			p.gotoIf(length, "!=", 0, pass);
			if (skb === undefined) p.goto(pass);
			p.comment("BIG TCP: a merged packet of more than 65535 bytes says 0, and is all that arrived");
			if (skb !== undefined) p.gotoIf(skb.gso_size, "==", 0, pass);
			length.set(arrived);
		});
		p.gotoIf(length, ">", arrived, pass);
		p.store(stack.slots.length, length);
	}
	p.comment("read the protocol; a later fragment has no transport header");
	const kind = p.load(ip.protocol, { name: "kind", in: "kept" });
	p.unlikely(ip.fragment, "&", IPV4_FRAGMENT.offset, () => kind.or(KIND.laterFragment));
	return { ...packet, transport, kind };
}
