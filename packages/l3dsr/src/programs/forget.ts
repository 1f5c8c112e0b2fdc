/** Makes the verifier forget values: it explores paths separately as long as it knows different values on them. */
import type { Place } from "@l3dsr/bpf";
import type { Packet, ParsedPacket } from "./packet.ts";

/**
 * Stores the number in each place without the verifier knowing it; otherwise it would explore a separate path for
 * each number.
 */
export function storeUnknown({ p, stack }: Packet, number: number, ...places: readonly Place[]): void {
	using value = p.u32(places.map(({ name }) => name).join(", ")).set(number);
	{
		using unknown = p.load(stack.slots.length, { name: "unknown" });
		p.forget(value, unknown);
	}
	for (const place of places) p.store(place, value);
}

/**
 * Makes all paths through the headers look alike, so that the verifier continues only once: it explores paths
 * separately as long as it knows different values in registers.
 */
export function emitForgetWay({ p, transport, kind, family, stack, asksProtocol }: ParsedPacket): void {
	const { length, protocol } = stack.slots;
	p.comment("let the verifier forget by which way it came");
	using unknown = p.load(length, { name: "unknown" });
	p.forget(kind, unknown);
	p.forget(transport, unknown);
	if (family === "ipv4" || !asksProtocol) return;
	using seen = p.load(protocol);
	p.forget(seen, unknown);
	p.store(protocol, seen);
}
