/**
 * Writes the new destination into the packet, and computes the difference for checksums.
 *
 * A checksum field changes by the old value minus the new one: `old + ~new` in ones' complement (RFC 1624). Words are
 * added in memory order, which a ones' complement sum allows (RFC 1071, section 2B).
 */
import { IPV4, type Place, view } from "@l3dsr/bpf";
import { NOT_DSCP, START } from "../../../programs/ip-header.ts";
import type { Difference } from "../../../programs/transport-checksum.ts";
import { type Packet, word } from "./frame.ts";

/** Memory with the new address and, for IPv6, the complement of its sum (u32). */
export interface NewAddress {
	readonly address: Place;
	readonly complement?: Place;
	/** How many bytes were stored at once, if that was just before. */
	readonly storedBytes?: 4;
}

const U32 = 0xffff_ffffn;

/** Writes the address, and IPv4's header checksum. */
export function emitRewriteAddress(
	packet: Packet,
	{ address, complement, storedBytes }: NewAddress,
): Difference {
	const { p, destination } = packet;
	p.comment("store the new destination address; what changes is old - new");
	const change = p.load(word(destination, 0), { name: "difference" }).raw(64);
	if (complement === undefined) {
		{
			using next = p.load(word(address, 0), { name: "new address" });
			p.store(word(destination, 0), next);
			change.add(next.xor(0xffff_ffff));
		}
		const sum = p.fold(change, 2n * U32);
		p.comment("update the header checksum (RFC 1624)");
		p.addToChecksum(headerChecksum(packet), sum);
		return { sum, most: U32 };
	}
	for (const index of [1, 2, 3]) {
		using old = p.load(word(destination, index));
		change.add(old);
	}
	{
		using rest = p.load(complement, { name: "complement" });
		change.add(rest);
	}
	p.copyBytes(destination, address, storedBytes);
	return { sum: change, most: 5n * U32 };
}

/** DSCP := 0; ECN is kept. Values in r0-r5 are lost. */
export function emitClearDscp(packet: Packet): void {
	const { p, data, family, skb, target } = packet;
	if (target.report !== undefined) return;
	const { start } = view(data, START, target.linkHeaderBytes);
	p.comment("clear the DSCP");
	const old = p.load(start, { name: "old" });
	using cleared = p.copy(old, "cleared").and(NOT_DSCP[family]);
	p.store(start, cleared);
	using change = old.raw(64);
	if (family === "ipv4") {
		p.comment("update the header checksum");
		change.add(cleared.xor(0xffff));
		p.addToChecksum(headerChecksum(packet), change, 2n * 0xffffn);
	} else if (skb !== undefined) {
		// No field of the packet offsets the change, so a checksum of the whole packet by the NIC (CHECKSUM_COMPLETE)
		// must change.
		p.comment("tell the sum of the whole packet: new - old");
		change.xor(0xffff).add(cleared);
		p.run("bpf_csum_update", [skb, change]);
	}
}

function headerChecksum({ data, target }: Packet): Place {
	return view(data, IPV4, target.linkHeaderBytes).checksum;
}
