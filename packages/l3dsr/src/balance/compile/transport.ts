/** Transport headers, at any offset in a packet. */
import { IPV4, IPV6, type Label, TCP, UDP, type Value, view } from "@l3dsr/bpf";
import { type Packet, STATE } from "./frame.ts";

export const HEADER_LENGTH = { ipv4: IPV4.bytes, ipv6: IPV6.bytes } as const;
const FLAG = { syn: 0x02, rst: 0x04, ack: 0x10 } as const;
/** No header is further from the start of its packet; the mask proves that to the verifier. */
const OFFSET_MASK = 0x7fff;

/** Where a packet continues once its service or its real is known. */
export interface Ways {
	/** The service is found; the values are as in Packet. */
	readonly found: Label;
	/** The number of the real is known. */
	readonly numbered: Label;
}

/**
 * `start of the frame + link + *offset`, proven for `length` bytes within the packet; jumps to `otherwise` if they
 * are not.
 */
export function pointerTo(packet: Packet, end: Value, length: number, otherwise: Label, name: string): Value {
	const { p, slots, data, link } = packet;
	{
		using last = p.load(slots.offset, { name: "last byte" });
		last.add(length);
		using whole = p.load(slots.length);
		p.gotoIf(last, ">", whole, otherwise);
	}
	const at = p.copy(data, name);
	{
		using distance = p.load(slots.offset, { name: "distance" }).and(OFFSET_MASK);
		using wide = distance.raw(64);
		at.add(wide);
	}
	if (link > 0) at.add(link);
	p.prove(at, length, end, otherwise);
	return at;
}

/** Adds the bits of the TCP header at `at` to the stack's `state`. */
export function emitTcpState({ p, slots }: Packet, at: Value): void {
	const { flags } = view(at, TCP);
	p.unlikely(flags, "&", FLAG.syn | FLAG.rst, () => {
		p.comment("the beginning of a connection, or its reset");
		using seen = p.load(flags);
		using state = p.load(slots.state, { name: "state" });
		const both = p.label("syn+ack");
		const reset = p.label("reset");
		const known = p.label("state known");
		{
			using synAck = p.copy(seen, "syn+ack").and(FLAG.syn | FLAG.ack);
			p.gotoIf(synAck, "==", FLAG.syn | FLAG.ack, both);
		}
		p.gotoIf(seen, "&", FLAG.rst, reset);
		state.or(STATE.begins);
		p.goto(known);
		p.place(both);
		state.or(STATE.synAck);
		p.goto(known);
		p.place(reset);
		state.or(STATE.leavesNoEntry);
		p.place(known);
		p.store(slots.state, state);
	});
}

/** Adds the bits of the UDP header at `at` to the stack's `state`. */
export function emitUdpState({ p, slots }: Packet, at: Value): void {
	using state = p.load(slots.state, { name: "state" });
	state.or(STATE.udp | STATE.udpChecksum);
	p.unlikely(view(at, UDP).checksum, "==", 0, () => state.or(STATE.noChecksum));
	p.store(slots.state, state);
}
