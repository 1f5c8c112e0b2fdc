/** The ports of a packet, on the stack. */
import { whole } from "@l3dsr/bpf";
import { PORT_PROTOCOLS } from "@l3dsr/packet";
import { storeUnknown } from "./forget.ts";
import { KIND, type ParsedPacket } from "./packet.ts";
import { copyFromPacket, packetEnd } from "./packet-bytes.ts";

/** Resets what `emitLoadPorts` and `emitPortChecksum` set. */
export function emitNoPorts(packet: ParsedPacket): void {
	const { slots, ports, arrivedPort } = packet.stack;
	packet.p.comment("no ports yet");
	storeUnknown(packet, 0, slots.hasPorts, slots.portChecksum, whole(ports), arrivedPort);
}

/**
 * Puts the ports on the stack and notes that there are ports, if the packet is unfragmented or a first fragment, of a
 * protocol with ports, and contains both.
 */
export function emitLoadPorts(packet: ParsedPacket): void {
	const { p, kind, transport, family, stack } = packet;
	const { slots, ports } = stack;
	const done = p.label("ports loaded");
	p.comment("does the packet have ports?");
	const load = () => {
		p.comment("load the ports");
		{
			using end = packetEnd(packet);
			using needed = p.copy(transport, "needed").add(4);
			p.gotoIf(needed, ">", end, done);
		}
		copyFromPacket(packet, transport, whole(ports), done);
		{
			using port = p.load(ports.destination);
			p.store(stack.arrivedPort, port);
		}
		if (family === "ipv6") {
			p.comment("behind a mobility, HIP or shim6 header there are no ports for a rule, as in the kernel");
			using transportProtocol = p.copy(kind, "protocol").and(0xff);
			using seen = p.load(slots.protocol);
			p.gotoIf(seen, "!=", transportProtocol, done);
		}
		p.store(slots.hasPorts, 1);
	};
	{
		using protocol = p.copy(kind, "protocol").and(~KIND.routedFurther);
		p.switch(protocol, [{ values: PORT_PROTOCOLS, name: "ports", body: load }]);
	}
	p.place(done);
}
