/**
 * Updates the transport checksum after the address has changed.
 *
 * At tc the kernel's helper does it, because the checksum may be partial (CHECKSUM_PARTIAL), or skb->csum may have to
 * change as well (CHECKSUM_COMPLETE). At XDP there is only the field.
 */
import type { Label, Place, Value } from "@l3dsr/bpf";
import { CHECKSUM_OFFSET, type Family, PORT_PROTOCOLS, PROTOCOL_NUMBER } from "@l3dsr/packet";
import { emitCount, MALFORMED_SLOT, NOTHING_WRONG } from "./count.ts";
import { KIND, type Packet, type ParsedPacket, type ProgramTarget } from "./packet.ts";
import { copyFromPacket, copyIntoPacket, packetEnd, placeAt, pointer } from "./packet-bytes.ts";

/** What to add to a checksum field. */
export interface Difference {
	readonly sum: Value;
	/** The largest possible value. */
	readonly most: bigint;
}

/** Flags of bpf_l4_csum_replace, uapi/linux/bpf.h; the low four bits are the size of the change (0: a difference). */
export const CSUM_FLAG = { BPF_F_PSEUDO_HDR: 0x10, BPF_F_MARK_MANGLED_0: 0x20, BPF_F_IPV6: 0x80 } as const;

const { tcp, udp, udplite, sctp } = PROTOCOL_NUMBER;

/** The family's protocols by the offset of their checksum, as `[offset, protocols]`. */
export function checksummed(family: Family, concerned = (_protocol: number) => true): [number, number[]][] {
	const byOffset = new Map<number, number[]>();
	for (const [name, offset] of Object.entries(CHECKSUM_OFFSET[family])) {
		const protocol = Number(name);
		if (!concerned(protocol)) continue;
		byOffset.set(offset, [...(byOffset.get(offset) ?? []), protocol]);
	}
	return [...byOffset];
}

export function hasPortsAndChecksum(protocol: number): boolean {
	return PORT_PROTOCOLS.includes(protocol) && protocol in CHECKSUM_OFFSET.ipv4;
}

/** At tc, new - old as helpers take it, in 32 bits; at XDP, as checksum fields take it. Kept in the place of `data`. */
export function keepDifference({ p, data, skb }: Packet, difference: Difference): Difference {
	p.release(data);
	const sum = skb === undefined ? difference.sum : helperDifference({ p }, difference);
	p.keep(sum);
	return { ...difference, sum };
}

/** `new - old` in 32 bits, from `old - new`. */
export function helperDifference({ p }: Pick<Packet, "p">, { sum, most }: Difference): Value {
	const folded = sum.width === 32 ? sum : p.fold(sum, most);
	return folded.xor(0xffff_ffff);
}

/** The helper's flags for a protocol's checksum, after the address has changed. */
export function helperFlags(family: Family, target: ProgramTarget, protocol: number): number {
	return (
		CSUM_FLAG.BPF_F_PSEUDO_HDR |
		(protocol === udp ? CSUM_FLAG.BPF_F_MARK_MANGLED_0 : 0) |
		(family === "ipv6" && target.ipv6ChecksumFlag ? CSUM_FLAG.BPF_F_IPV6 : 0)
	);
}

/**
 * Before Linux 6.16 the helper updates skb->csum as for IPv4, where the header checksum offsets the address. Adding
 * the address first keeps skb->csum unchanged, which is right for IPv6.
 */
export function emitTellSum({ p, family, skb, target }: Packet, difference: Value): void {
	if (family !== "ipv6" || skb === undefined || target.ipv6ChecksumFlag) return;
	p.comment("tell the sum of the whole packet of the address (before Linux 6.16)");
	p.run("bpf_csum_update", [skb, difference]);
}

/** Updates the transport checksum, if the packet has one that covers the destination, and jumps to `done`. */
export function emitTransportChecksum(packet: ParsedPacket, difference: Difference, done: Label): void {
	const { p, kind, transport, stack } = packet;
	const uncovered = p.label("no checksum");
	p.comment("which transport checksum?");
	p.store(stack.slots.malformed, NOTHING_WRONG);
	{
		using checksum = p.copy(transport, "checksum");
		emitPlace(packet, checksum, uncovered);
		if (packet.family === "ipv6") p.gotoIf(kind, "&", KIND.routedFurther, uncovered);
		if (packet.skb === undefined) emitByHand(packet, checksum, difference, done);
		else emitWithHelper(packet, packet.skb, checksum, difference.sum, uncovered, done);
	}
	p.place(uncovered);
	emitUncovered(packet, difference.sum, done);
}

/**
 * Turns `checksum` from the offset of the transport header into that of the checksum. Jumps to `uncovered` if the
 * packet has none, with the reason in the stack's `malformed` if it should have one.
 */
function emitPlace(packet: ParsedPacket, checksum: Value, uncovered: Label): void {
	const { p, kind, family, stack } = packet;
	const wrong = (reason: keyof typeof MALFORMED_SLOT) => {
		p.store(stack.slots.malformed, MALFORMED_SLOT[reason]);
		p.goto(uncovered);
	};
	p.unlikely(kind, "&", KIND.laterFragment, () => {
		p.comment("no transport header: a later fragment, or a broken chain of extension headers");
		if (family === "ipv6") {
			p.if(kind, "&", KIND.chainCut, () => wrong("extension-chain-cut"));
			p.if(kind, "&", KIND.chainLong, () => wrong("extension-chain-long"));
		}
		p.goto(uncovered);
	});
	using end = packetEnd(packet);
	using protocol = p.copy(kind, "protocol").and(0xff);
	const cut = p.label("cut");
	const inPacket = (bytes: number) => {
		checksum.add(bytes);
		p.gotoIf(checksum, ">", end, cut);
	};
	p.switch(
		protocol,
		[
			...checksummed(family).map(([offset, values]) => ({
				values,
				name: `checksum at ${offset}`,
				body: () => inPacket(offset + 2),
			})),
			{
				values: [sctp],
				name: "sctp",
				body: () => {
					p.comment("SCTP has its own, but is cut without its ports");
					inPacket(4);
					p.goto(uncovered);
				},
			},
		],
		() => p.goto(uncovered),
	);
	checksum.sub(2);
	const there = p.label("checksum there");
	p.goto(there);

	p.place(cut);
	if (family === "ipv6") {
		p.comment("behind an extension header that reaches past the end, it is the chain that is cut");
		p.if(packet.transport, ">", end, () => wrong("extension-chain-cut"));
	}
	p.comment("the transport header is cut short");
	wrong("transport-cut");
	p.place(there);
}

function emitWithHelper(
	packet: ParsedPacket,
	skb: NonNullable<Packet["skb"]>,
	checksum: Value,
	difference: Value,
	uncovered: Label,
	done: Label,
): void {
	const { p, kind, family, target, stack } = packet;
	const { checksumOffset } = stack.slots;
	p.store(checksumOffset, checksum);
	const offset = () => p.load(checksumOffset, { into: checksum });
	if (family === "ipv6") {
		p.unlikely(kind, "==", udp, () => {
			p.comment("UDP without checksum: then nothing makes up for the new address in the card's sum");
			copyFromPacket(packet, checksum, stack.field, uncovered);
			p.gotoIf(stack.field, "==", 0, uncovered);
			offset();
		});
		emitTellSum(packet, difference);
		if (!target.ipv6ChecksumFlag) offset();
	}
	p.comment("update the checksum");
	using flags = p.u64("flags").set(helperFlags(family, target, tcp));
	p.if(kind, "==", udp, () => flags.set(helperFlags(family, target, udp)));
	p.run("bpf_l4_csum_replace", [skb, checksum, 0, difference, flags]);
	p.gotoIf(kind, "!=", udplite, done);
	emitNeverZero(packet, checksumOffset, done);
	p.goto(done);
}

/** UDP-Lite: a checksum that came out as 0 is sent as 0xffff. */
export function emitNeverZero(packet: Packet, checksumOffset: Place, done: Label): void {
	const { p, stack } = packet;
	p.comment("UDP-Lite: a computed 0 is sent as 0xffff");
	{
		using offset = p.load(checksumOffset);
		copyFromPacket(packet, offset, stack.field, done);
	}
	p.gotoIf(stack.field, "!=", 0, done);
	p.store(stack.field, 0xffff);
	using offset = p.load(checksumOffset);
	copyIntoPacket(packet, offset, stack.field, done);
}

function emitByHand(packet: ParsedPacket, checksum: Value, { sum, most }: Difference, done: Label): void {
	const { p, kind } = packet;
	p.comment("update the checksum");
	using at = pointer(packet, checksum);
	const field = placeAt(packet, at, 2, done);
	p.comment("UDP: 0 is none, and stays");
	p.unlikely(kind, "==", udp, () => p.gotoIf(field, "==", 0, done));
	p.comment("add what changes");
	p.addToChecksum(field, sum, most);
	p.goto(done);
}

/**
 * No transport checksum covers the address. In IPv4 the header checksum offsets it; in IPv6 nothing does, so
 * skb->csum must be updated.
 */
function emitUncovered(packet: ParsedPacket, difference: Value, done: Label): void {
	const { p, family, skb, stack } = packet;
	if (family === "ipv6" && skb !== undefined) {
		p.comment("no checksum follows the address: tell the sum of the whole packet");
		p.run("bpf_csum_update", [skb, difference]);
	}
	p.comment("is something wrong with it?");
	p.gotoIf(stack.slots.malformed, "==", NOTHING_WRONG, done);
	emitCount(
		packet,
		"count why the transport header is out of reach",
		stack.slots.malformed,
		stack.slots.length,
	);
	p.goto(done);
}
