/** Finds a packet's entry in the VIP table, by a hash without collisions among the table's entries. */
import { IPV4, IPV6, type Label, type Value, view } from "@l3dsr/bpf";
import { PASS } from "../../programs/packet.ts";
import { FOLD, MIX } from "../hash.ts";
import { entriesAt, FILTER_BITS, groupBitsOf, SHIFTS_AT, VIP } from "../tables/layout.ts";
import { emitCountReason } from "./count.ts";
import { ADDRESS4, ADDRESS6, ENTRY64, first4, HEADER_BYTES, type Packet, SHIFT, VIP_ENTRY } from "./frame.ts";

const VERSION = { ipv4: 4 << 24, ipv6: 6 << 24 } as const;

/**
 * `vip` := the entry of the service with the packet's destination, `ports` and `protocol` (which is gone), or else of
 * the service for any port; jumps to `miss` if there is none.
 */
export function emitFindService(packet: Packet, protocol: Value, miss: Label): void {
	const { p, family, ports, options } = packet;
	p.comment("find the service: VIP, protocol, port");
	using match = p.copy(ports, "match").rsh(16);
	protocol.lsh(16);
	match.or(protocol).or(VERSION[family]);
	p.release(protocol);
	if (!options.anyPort) {
		emitFindEntry(packet, match, miss);
		return;
	}
	const found = p.label("service found");
	const any = p.label("any port");
	emitFindEntry(packet, match, any);
	p.goto(found);
	p.place(any);
	p.comment("or the service of every other port");
	match.and(0xffff_0000);
	emitFindEntry(packet, match, miss);
	p.place(found);
}

/** `vip` := the entry of the destination address alone; jumps to `miss` if there is none. */
export function emitFindAddress(packet: Packet, miss: Label): void {
	const { p, family } = packet;
	p.comment("find the destination in the VIP table");
	using match = p.u32("match").set(VERSION[family]);
	emitFindEntry(packet, match, miss);
}

/**
 * If the destination is certainly not in the VIP table, counts the packet and passes it to the kernel right here: on
 * a host with other traffic nearly all packets are like that, and each jump costs time.
 */
export function emitFilter(packet: Packet): void {
	const { p, family, data, link, maps, options } = packet;
	const maybe = p.label("maybe a VIP");
	p.comment("can the destination be in the VIP table?");
	using bit = p.u64("bit");
	const { destination } = family === "ipv4" ? view(data, IPV4, link) : view(data, IPV6, link);
	emitFoldAt(packet, data, destination.offset, bit);
	bit.mul(MIX[0]).rsh(64 - FILTER_BITS);
	using at = p.mapValue(maps.vips, HEADER_BYTES);
	{
		using offset = p.copy(bit, "offset").rsh(6).lsh(3);
		at.add(offset);
	}
	using word = p.load(view(at, ENTRY64).all, { name: "filter" });
	// Shift counts are taken modulo 64.
	word.rsh(bit);
	p.gotoIf(word, "&", 1, maybe);
	p.comment("no: count it as not-vip, and to the kernel");
	emitCountReason(packet, "not-vip");
	p.exit(PASS[options.hook]);
	p.place(maybe);
	p.comment("in a straight line: on to the transport header");
}

/** `vip` := the entry with this destination and `match`; jumps to `miss` if there is none. */
function emitFindEntry(packet: Packet, match: Value, miss: Label): void {
	const { p, family, data, vip, link, maps } = packet;
	p.revive(vip);
	const entry = view(vip, VIP_ENTRY);
	{
		using key = p.u64("key");
		if (family === "ipv4") {
			p.load(first4(view(data, IPV4, link).destination), { into: key });
			using upper = p.u64("upper");
			upper.set(match).lsh(32);
			key.or(upper);
		} else {
			emitFold(packet, view(data, ADDRESS6, view(data, IPV6, link).destination.offset), key);
			key.xor(match);
		}
		const { multiplier, vipBits } = packet.options;
		const groupBits = groupBitsOf(vipBits);
		key.mul(multiplier);
		p.mapValue(maps.vips, SHIFTS_AT, { into: vip });
		{
			using group = p.copy(key, "group").lsh(vipBits);
			group.rsh(64 - groupBits).lsh(1);
			vip.add(group);
		}
		key.rsh(64 - vipBits);
		{
			using shift = p.load(view(vip, SHIFT).shift);
			key.add(shift);
		}
		key.and(2 ** vipBits - 1).lsh(Math.log2(VIP.size));
		p.mapValue(maps.vips, entriesAt(vipBits), { into: vip });
		vip.add(key);
	}
	if (family === "ipv4") {
		using destination = p.load(first4(view(data, IPV4, link).destination));
		p.gotoIf(first4(entry.address), "!=", destination, miss);
	} else {
		const { destination } = view(data, IPV6, link);
		const own = view(vip, ADDRESS6, VIP_ENTRY.fields.address.offset);
		const theirs = view(data, ADDRESS6, destination.offset);
		for (const half of ["high", "low"] as const) {
			using word = p.load(theirs[half]);
			p.gotoIf(own[half], "!=", word, miss);
		}
	}
	p.gotoIf(entry.match, "!=", match, miss);
}

/** An IPv6 address as 64 bits (foldAddress). */
function emitFold(
	{ p }: Pick<Packet, "p">,
	address: ReturnType<typeof view<typeof ADDRESS6.fields>>,
	into: Value,
): void {
	p.load(address.high, { into });
	into.mul(FOLD);
	using low = p.load(address.low);
	into.add(low);
}

/** An address of either family as 64 bits, at `offset` from `base`. */
export function emitFoldAt(packet: Packet, base: Value, offset: number, into: Value): void {
	if (packet.family === "ipv4") packet.p.load(view(base, ADDRESS4, offset).word, { into });
	else emitFold(packet, view(base, ADDRESS6, offset), into);
}
