/**
 * Writes the transport checksum at tc without a helper: the program reads the state of the packet's checksum in the
 * kernel's `sk_buff`, and does what bpf_l4_csum_replace would do, at a third of its cost.
 *
 * | ip_summed            | content of the field                          | action                                   |
 * |----------------------|-----------------------------------------------|------------------------------------------|
 * | NONE, UNNECESSARY    | the checksum                                  | add old - new                            |
 * | PARTIAL              | the pseudo-header's sum, not complemented     | add new - old                            |
 * | COMPLETE, IPv4       | the checksum; skb->csum sums the whole packet | add old - new, and update skb->csum      |
 * | COMPLETE, IPv6       | the same                                      | add old - new: address and field cancel  |
 *
 * Documentation/networking/checksum-offloads.rst, include/linux/skbuff.h. In skb->csum, IPv4's header checksum offsets the
 * address; IPv6 has none.
 */
import type { Place, Value } from "@l3dsr/bpf";
import type { ChecksumState, Packet } from "./packet.ts";
import { type Difference, helperDifference } from "./transport-checksum.ts";

/** `ip_summed`, include/linux/skbuff.h. */
const CHECKSUM = { COMPLETE: 2, PARTIAL: 3 } as const;

const U32 = 0xffff_ffffn;

/** `state` := the state of the packet's checksum. Values in r0-r5 are lost. */
export function emitChecksumState(
	{ p }: Pick<Packet, "p">,
	skb: NonNullable<Packet["skb"]>,
	{ cast, ipSummed }: ChecksumState,
	state: Place,
): void {
	p.comment("how does the packet's checksum stand?");
	using kernelSkb = p.callKernelFunction(cast, [skb], "sk_buff");
	using summed = p.loadKernelField(kernelSkb, ipSummed, "ip_summed");
	p.store(state, summed);
}

/** Updates the checksum for the new address, as `state` requires. `difference` is gone afterwards. */
export function emitByState(
	packet: Pick<Packet, "p" | "family">,
	skb: NonNullable<Packet["skb"]>,
	state: Value,
	field: Place,
	{ sum, most }: Difference,
): void {
	const { p, family } = packet;
	const partial = p.label("partial");
	const done = p.label("checksum done");
	p.comment("update the transport checksum");
	p.gotoIf(state, "==", CHECKSUM.PARTIAL, partial);
	p.addToChecksum(field, sum, most);
	if (family === "ipv4") {
		p.comment("the card's sum of the whole packet follows");
		p.gotoIf(state, "!=", CHECKSUM.COMPLETE, done);
		p.run("bpf_csum_update", [skb, sum]);
	}
	p.goto(done);
	p.place(partial);
	p.comment("half a checksum: the pseudo-header's sum itself");
	{
		using change = helperDifference(packet, { sum, most });
		p.addToChecksum(field, change, U32);
	}
	p.place(done);
}
