/** `--set-dport`: writes the port and updates its checksum. */

import type { Value } from "@l3dsr/bpf";
import { PROTOCOL_NUMBER } from "@l3dsr/packet";
import { KIND } from "../../../programs/packet.ts";
import { copyFromPacket, copyIntoPacket, packetEnd } from "../../../programs/packet-bytes.ts";
import {
	CSUM_FLAG,
	checksummed,
	emitNeverZero,
	hasPortsAndChecksum,
} from "../../../programs/transport-checksum.ts";
import { ACTION, type Packet, type ParsedPacket } from "./frame.ts";

/** Flags of bpf_skb_store_bytes; for bpf_l4_csum_replace, the size of the change. */
const BPF_F_RECOMPUTE_CSUM = 1;
const TWO_BYTES = 2;

const { udp, udplite } = PROTOCOL_NUMBER;

/** Offset of the destination port in the transport header. */
const PORT_OFFSET = 2;

/**
 * Sets the stack's `portChecksum`, which is 0, to the offset of the checksum that covers this packet's port, if it
 * has one that can be updated.
 */
export function emitPortChecksum(packet: ParsedPacket): void {
	const { p, kind, transport, family, stack } = packet;
	const { portChecksum } = stack.slots;
	p.comment("can its port be set?");
	const done = p.label("port known");
	{
		using end = packetEnd(packet);
		using needed = p.copy(transport, "needed");
		using protocol = p.copy(kind, "protocol").and(~KIND.routedFurther);
		const cases = checksummed(family, hasPortsAndChecksum).map(([offset, values]) => ({
			values,
			name: `checksum at ${offset}`,
			body: () => {
				needed.add(offset + 2);
				p.gotoIf(needed, ">", end, done);
				p.store(portChecksum, offset);
			},
		}));
		p.switch(protocol, cases);
	}
	p.place(done);
}

/** Writes the port that the rules have set, if any; the address is already written. Ends at `pass`. */
export function emitSetPort(packet: ParsedPacket): void {
	const { p, kind, skb, stack, pass } = packet;
	const { slots, field, ports } = stack;
	p.comment("was a port set?");
	const set = p.label("set port");
	p.gotoIf(slots.actions, "&", ACTION.setPort, set);
	p.goto(pass);
	p.place(set);
	p.comment("fetch the checksum");
	{
		using offset = checksumOffset(packet);
		p.store(slots.checksumOffset, offset);
		copyFromPacket(packet, offset, field, pass);
	}
	const checked = p.label("port checked");
	{
		using protocol = p.copy(kind, "protocol").and(0xff);
		p.gotoIf(protocol, "!=", udp, checked);
	}
	p.comment("UDP without checksum: only the port");
	p.gotoIf(field, "!=", 0, checked);
	emitStorePort(packet, BPF_F_RECOMPUTE_CSUM);
	p.goto(pass);
	p.place(checked);
	p.comment("store the port");
	emitStorePort(packet, 0);
	if (skb !== undefined) emitWithHelper(packet, skb);
	else {
		p.comment("update the checksum for the port");
		using change = p.load(stack.arrivedPort, { name: "difference" }).raw(64);
		{
			using port = p.load(ports.destination).xor(0xffff);
			change.add(port);
		}
		p.addToChecksum(field, change, 2n * 0xffffn);
		using offset = p.load(slots.checksumOffset);
		copyIntoPacket(packet, offset, field, pass);
	}
	p.goto(pass);
}

function emitWithHelper(packet: ParsedPacket, skb: NonNullable<Packet["skb"]>): void {
	const { p, kind, stack, pass } = packet;
	const { checksumOffset } = stack.slots;
	p.comment("update the checksum for the port: it may be partial, or the card's sum");
	{
		using flags = p.u64("flags").set(TWO_BYTES);
		using protocol = p.copy(kind, "protocol").and(0xff);
		p.if(protocol, "==", udp, () => flags.set(TWO_BYTES | CSUM_FLAG.BPF_F_MARK_MANGLED_0));
		using offset = p.load(checksumOffset);
		using before = p.load(stack.arrivedPort);
		using after = p.load(stack.ports.destination);
		p.run("bpf_l4_csum_replace", [skb, offset, before, after, flags]);
	}
	{
		using protocol = p.copy(kind, "protocol").and(0xff);
		p.gotoIf(protocol, "!=", udplite, pass);
	}
	emitNeverZero(packet, checksumOffset, pass);
}

function emitStorePort(packet: ParsedPacket, flags: number): void {
	const { p, transport, stack, pass } = packet;
	using offset = p.copy(transport, "port offset").add(PORT_OFFSET);
	copyIntoPacket(packet, offset, stack.ports.destination, pass, flags);
}

/** Offset of the checksum that covers the port, from the start of the packet. */
function checksumOffset({ p, transport, stack }: ParsedPacket): Value {
	const offset = p.copy(transport, "checksum offset");
	using inHeader = p.load(stack.slots.portChecksum);
	return offset.add(inHeader);
}
