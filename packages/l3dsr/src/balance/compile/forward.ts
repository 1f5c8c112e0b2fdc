/**
 * Forwards a packet: writes destination, DSCP, hop limit and checksums, in this order, and nothing else. Every test
 * that could stop it comes before the first write.
 */
import { IPV4, IPV6, part, type Value, view } from "@l3dsr/bpf";
import { emitCount } from "../../programs/count.ts";
import { CSUM_FLAG } from "../../programs/transport-checksum.ts";
import { REAL } from "../tables/layout.ts";
import { emitRememberDatagram } from "./fragment-memory.ts";
import {
	CHECKSUM,
	type Forwarded,
	first4,
	HEADER_BYTES,
	type Packet,
	REAL_ENTRY,
	START,
	STATE,
} from "./frame.ts";
import { emitNextHop, emitWayOut } from "./way-out.ts";

const U32 = 0xffff_ffffn;
const U16 = 0xffffn;
const NOT_DSCP = { ipv4: 0xff03, ipv6: 0xf03f } as const;

/** `real`: the number of the real in the whole table. Ends the program. */
export function emitForward(packet: Packet): void {
	const { p, slots, maps, real, state } = { ...packet, state: packet.slots.state };
	p.comment("its number, for the memory of fragments and the counters");
	p.store(slots.key, real);
	p.unlikely(state, "&", STATE.firstFragment, () => {
		emitRememberDatagram(packet);
		p.revive(real);
		p.load(slots.key, { into: real });
	});
	p.comment("the real's entry");
	p.gotoIf(real, ">=", packet.options.reals, packet.leave("no-real"));
	const entry = p.mapValue(maps.reals, HEADER_BYTES, "kept");
	{
		using offset = p.copy(real, "offset").raw(64).lsh(Math.log2(REAL.size));
		entry.add(offset);
	}
	p.release(real);
	const forwarded = { ...packet, entry };
	emitFits(forwarded);
	if (packet.options.hook === "xdp" && packet.options.forward === "resolved") emitNextHop(forwarded);
	emitRewrite(forwarded);
	emitCount(packet, "count the packet", slots.key, slots.length);
	emitWayOut(forwarded);
}

/** At tc, a packet may be larger than any MTU because it was merged; it is segmented again when it is sent. */
function emitFits({ p, options, slots, entry, leave }: Forwarded): void {
	if (options.hook === "tc") return;
	p.comment("does it fit the way out?");
	using length = p.load(slots.length);
	p.gotoIf(view(entry, REAL_ENTRY).mtu, "<", length, leave("too-big"));
}

function emitRewrite(packet: Forwarded): void {
	const { p, family, data, link, entry, options } = packet;
	const real = view(entry, REAL_ENTRY);
	const ip4 = view(data, IPV4, link);
	const ip6 = view(data, IPV6, link);
	// If the kernel forwards the packet, it decrements the hop limit itself.
	const takesHop = options.hook === "xdp" && options.forward === "resolved";
	if (takesHop) {
		p.comment("one hop less");
		const place = family === "ipv4" ? ip4.ttl : ip6.hopLimit;
		using hops = p.load(place);
		hops.sub(1);
		p.store(place, hops);
	}
	p.comment("the DSCP; ECN stays");
	const { start } = view(data, START, link);
	const before = p.load(start, { name: "before" });
	const after = p.copy(before, "after").and(NOT_DSCP[family]);
	{
		using code = p.load(real.start);
		after.or(code);
	}
	p.store(start, after);
	p.comment("the address; what changes is old - new");
	using sum = p.u64("difference");
	if (family === "ipv4") {
		p.load(first4(ip4.destination), { into: sum });
		emitAddComplement(packet, sum);
		p.copyBytes(first4(ip4.destination), first4(real.address));
		p.comment("update the header checksum (RFC 1624)");
		const header = before.raw(64);
		after.xor(0xffff);
		// The hop limit is the first byte of its word, so in memory order the word also decreases by one.
		header
			.add(after)
			.add(sum)
			.add(takesHop ? 1 : 0);
		p.release(after);
		p.addToChecksum(ip4.checksum, header, 2n * U32 + 2n * U16 + 1n);
		p.release(header);
	} else {
		emitTellClass(packet, before, after);
		p.load(part(ip6.destination, 0, 4), { into: sum });
		for (const offset of [4, 8, 12]) {
			using old = p.load(part(ip6.destination, offset, 4));
			sum.add(old);
		}
		emitAddComplement(packet, sum);
		p.copyBytes(ip6.destination, real.address);
	}
	p.comment("update the transport checksum, if one covers the destination");
	emitTransportChecksum(packet, sum, family === "ipv4" ? 2n * U32 : 5n * U32);
}

function emitAddComplement({ p, entry }: Forwarded, sum: Value): void {
	using complement = p.load(view(entry, REAL_ENTRY).complement);
	sum.add(complement);
}

/** IPv6 has no header checksum to offset the new Traffic Class in skb->csum at tc, so add new - old to it. */
export function emitTellClass({ p, options, slots }: Packet, before: Value, after: Value): void {
	if (options.hook === "tc") {
		const change = before.raw(64).xor(0xffff).add(after);
		p.release(after);
		using skb = p.load(slots.context, { name: "context" });
		p.run("bpf_csum_update", [skb, change]);
		p.release(change);
	} else p.release(before, after);
}

function emitTransportChecksum(packet: Forwarded, sum: Value, most: bigint): void {
	const { p, options, sumAt, slots } = packet;
	if (options.hook === "tc") {
		emitWithHelper(packet, p.fold(sum, most).xor(0xffff_ffff));
		return;
	}
	const done = p.label("checksums done");
	p.gotoIf(slots.state, "&", STATE.noChecksum, done);
	p.addToChecksum(view(sumAt, CHECKSUM).checksum, sum, most);
	p.place(done);
	p.release(sum, sumAt);
}

/**
 * At tc, the checksum may be partial (CHECKSUM_PARTIAL), or skb->csum may have to change as well (CHECKSUM_COMPLETE);
 * the kernel's helper handles both. `change`: new - old, in 32 bits.
 */
function emitWithHelper(packet: Forwarded, change: Value): void {
	const { p, family, data, sumAt, slots, options } = packet;
	const { ipv6ChecksumFlag } = options;
	const isIpv6 = family === "ipv6";
	p.comment("where the checksum is");
	{
		using offset = p.u64("checksum offset").set(sumAt).sub(data);
		p.store(slots.offset, offset);
	}
	p.release(sumAt, data);
	p.keep(change);
	const done = p.label("checksums done");
	const uncovered = p.label("no checksum");
	p.gotoIf(slots.state, "&", STATE.noChecksum, isIpv6 ? uncovered : done);
	// Before Linux 6.16 the helper updates skb->csum as for IPv4, where the header checksum offsets the change.
	if (isIpv6 && !ipv6ChecksumFlag) emitTellSum(packet, change);
	p.comment("update the transport checksum: it may be partial, or the card's sum");
	{
		using flags = p.u64("flags");
		flags.set(CSUM_FLAG.BPF_F_PSEUDO_HDR | (isIpv6 && ipv6ChecksumFlag ? CSUM_FLAG.BPF_F_IPV6 : 0));
		const known = p.label("flags known");
		using state = p.load(slots.state, { name: "state" });
		p.gotoUnless(state, "&", STATE.udpChecksum, known);
		flags.or(CSUM_FLAG.BPF_F_MARK_MANGLED_0);
		p.place(known);
		p.release(state);
		using offset = p.load(slots.offset, { name: "checksum offset" });
		using skb = p.load(slots.context, { name: "context" });
		p.run("bpf_l4_csum_replace", [skb, offset, 0, change, flags]);
	}
	p.goto(done);
	if (isIpv6) {
		p.place(uncovered);
		p.comment("no checksum follows the address: tell the sum of the whole packet");
		emitTellSum(packet, change);
	}
	p.place(done);
	p.release(change);
}

function emitTellSum({ p, slots }: Forwarded, change: Value): void {
	using skb = p.load(slots.context, { name: "context" });
	p.run("bpf_csum_update", [skb, change]);
}
