/**
 * The straight path for the most common packets: TCP, or UDP with a checksum, directly after a plain IP header, for a
 * DSCP in the table. Any other packet leaves it unchanged for the general path.
 */

import { IPV4, IPV6, type Label, type Place, UDP, type Value, view } from "@l3dsr/bpf";
import { CHECKSUM_OFFSET, IPV4_FRAGMENT, PROTOCOL_NUMBER } from "@l3dsr/packet";
import { emitByState, emitChecksumState } from "../../../programs/checksum-state.ts";
import { emitCount } from "../../../programs/count.ts";
import { findAgain, HEADER_BYTES, loadDscp } from "../../../programs/ip-header.ts";
import { PLAIN_HEADER } from "../../../programs/ipv4.ts";
import { type ChecksumState, PASS } from "../../../programs/packet.ts";
import { arrivedBytes, placeAt } from "../../../programs/packet-bytes.ts";
import {
	type Difference,
	emitTellSum,
	helperDifference,
	helperFlags,
} from "../../../programs/transport-checksum.ts";
import type { Packet } from "./frame.ts";
import { emitRewriteAddress } from "./rewrite-address.ts";
import { findEntry } from "./table.ts";

const { tcp, udp } = PROTOCOL_NUMBER;

/** How a hook updates the checksum. Disposing of it frees its registers. */
interface ChecksumUpdate extends Disposable {
	/** Sets the protocol, on the path of that protocol. */
	prepare(protocol: typeof tcp | typeof udp): void;
	/** Runs where the paths of both protocols have joined again. */
	run(difference: Difference): void;
}

/** `dscp` is in the table. Ends with the verdict, or jumps to `general`. */
export function emitStraight(packet: Packet, dscp: Value, general: Label): void {
	const { p, end, skb, target } = packet;
	p.comment("in a straight line: TCP or UDP behind a plain header");
	const { checksumState } = target;
	const known =
		skb === undefined || checksumState === undefined ? dscp : lookAtState(packet, skb, checksumState, dscp);
	using checksum = checksumUpdate(packet, general);
	using length = emitPlainHeader(packet, general);
	using protocol = loadProtocol(packet);
	const isTcp = () => {
		p.gotoIf(length, "<", HEADER_BYTES[packet.family] + CHECKSUM_OFFSET[packet.family][tcp] + 2, general);
		checksum.prepare(tcp);
	};
	const isUdp = () => {
		p.gotoIf(protocol, "!=", udp, general);
		p.gotoIf(length, "<", HEADER_BYTES[packet.family] + CHECKSUM_OFFSET[packet.family][udp] + 2, general);
		checksum.prepare(udp);
	};
	p.if(protocol, "==", tcp, isTcp, isUdp);
	p.release(end, protocol);
	p.comment("find the DSCP's entry in the table");
	const entry = findEntry(packet, known, "kept");
	checksum.run(emitRewriteAddress(packet, entry.to));
	emitCount(packet, "count the packet", entry.slot, length);
	p.comment("let the packet go on");
	p.exit(PASS[target.hook]);
}

function checksumUpdate(packet: Packet, general: Label): ChecksumUpdate {
	const { skb, target } = packet;
	if (skb === undefined) return byHand(packet, general);
	return target.checksumState === undefined
		? withHelper(packet, skb, general)
		: byState(packet, skb, general);
}

/** Reads the checksum's state, and loads the DSCP again, which the call loses. */
function lookAtState(
	packet: Packet,
	skb: NonNullable<Packet["skb"]>,
	state: ChecksumState,
	dscp: Value,
): Value {
	const { p, ctx, end, stack } = packet;
	emitChecksumState(packet, skb, state, stack.slots.checksumState);
	p.comment("what the call has lost");
	p.release(dscp);
	p.load(ctx.data_end, { into: end });
	return loadDscp(packet, 3);
}

/** The packet's length, kept. Jumps to `general` for options, fragments, and a length beyond what was received. */
function emitPlainHeader(packet: Packet, general: Label): Value {
	const { p, data, family, target } = packet;
	const ip4 = view(data, IPV4, target.linkHeaderBytes);
	const ip6 = view(data, IPV6, target.linkHeaderBytes);
	let length: Value;
	if (family === "ipv4") {
		p.gotoIf(ip4.versionIhl, "!=", PLAIN_HEADER, general);
		p.gotoIf(ip4.fragment, "&", IPV4_FRAGMENT.offset, general);
		length = p.load(ip4.totalLength, { name: "length", in: "kept" }).toHost();
	} else {
		length = p.load(ip6.payloadLength, { name: "length", in: "kept" }).toHost();
		length.add(IPV6.bytes);
	}
	using arrived = arrivedBytes(packet);
	p.gotoIf(length, ">", arrived, general);
	return length;
}

function loadProtocol({ p, data, family, target }: Packet): Value {
	if (family === "ipv6") return p.load(view(data, IPV6, target.linkHeaderBytes).nextHeader);
	return p.load(view(data, IPV4, target.linkHeaderBytes).protocol);
}

/** A UDP checksum of 0 means none, which is left to the general path. */
function emitIfNone(packet: Packet, checksum: Place, general: Label): void {
	const { p } = packet;
	p.unlikely(checksum, "==", 0, () => {
		// If more were proven here than on other paths to `general`, the verifier would explore it twice.
		p.comment("UDP without checksum: back to what is proven of every packet");
		findAgain(packet);
		p.goto(general);
	});
}

/** For tc. The helper cannot handle IPv6 UDP without a checksum: nothing would offset the new address in skb->csum. */
function withHelper(packet: Packet, skb: NonNullable<Packet["skb"]>, general: Label): ChecksumUpdate {
	const { p, data, end, family, stack, target } = packet;
	const header = target.linkHeaderBytes + HEADER_BYTES[family];
	const offset = p.u64("checksum offset", 2);
	const flags = p.u64("flags", 5);
	return {
		prepare(protocol) {
			if (family === "ipv6" && protocol === udp) {
				p.prove(data, header + UDP.bytes, end, general);
				emitIfNone(packet, view(data, UDP, header).checksum, general);
			}
			offset.set(header + CHECKSUM_OFFSET[family][protocol]);
			flags.set(helperFlags(family, target, protocol));
		},
		run(difference) {
			const change = helperDifference(packet, difference);
			if (family === "ipv6" && !target.ipv6ChecksumFlag) {
				p.release(data);
				p.keep(change);
				p.store(stack.slots.checksumOffset, offset);
				p.store(stack.slots.flags, flags);
				emitTellSum(packet, change);
				p.load(stack.slots.checksumOffset, { into: offset });
				p.load(stack.slots.flags, { into: flags });
			}
			p.comment("update the transport checksum: it may be partial, or the card's sum");
			p.run("bpf_l4_csum_replace", [skb, offset, 0, change, flags]);
		},
		[Symbol.dispose]() {
			offset[Symbol.dispose]();
			flags[Symbol.dispose]();
		},
	};
}

/** For tc, if the kernel reports the checksum's state. */
function byState(packet: Packet, skb: NonNullable<Packet["skb"]>, general: Label): ChecksumUpdate {
	const { p, stack } = packet;
	const hand = byHand(packet, general);
	return {
		prepare: hand.prepare,
		run(difference) {
			using state = p.load(stack.slots.checksumState);
			emitByState(packet, skb, state, hand.field(), difference);
		},
		[Symbol.dispose]() {
			hand[Symbol.dispose]();
		},
	};
}

/** For XDP, and where the checksum is written in the same way. */
function byHand(packet: Packet, general: Label): ChecksumUpdate & { readonly field: () => Place } {
	const { p, data, end, family, target } = packet;
	const header = target.linkHeaderBytes + HEADER_BYTES[family];
	const at = p.copy(data, "checksum at");
	const field = (): Place => placeAt(packet, at, 2, general);
	return {
		field,
		prepare(protocol) {
			const offset = header + CHECKSUM_OFFSET[family][protocol];
			p.prove(at, offset + 2, end, general);
			at.add(offset);
			if (protocol === udp) emitIfNone(packet, field(), general);
		},
		run({ sum, most }) {
			p.comment("update the transport checksum");
			p.addToChecksum(field(), sum, most);
			p.release(sum);
		},
		[Symbol.dispose]() {
			at[Symbol.dispose]();
		},
	};
}
