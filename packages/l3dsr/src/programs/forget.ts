/** What the verifier had better not know: it follows each path on its own as long as it knows something of it. */
import type { Place } from "@l3dsr/bpf";
import type { Packet, ParsedPacket } from "./packet.ts";

/** Each place := number, but not for the verifier: otherwise every number there would be a way of its own from then on. */
export function storeUnknown({ p, stack }: Packet, number: number, ...places: readonly Place[]): void {
	using value = p.u32(places.map(({ name }) => name).join(", ")).set(number);
	{
		using unknown = p.load(stack.slots.length, { name: "unknown" });
		p.forget(value, unknown);
	}
	for (const place of places) p.store(place, value);
}

/**
 * So that the verifier goes on once, not once for each way through the headers: it follows each on its own as long
 * as registers differ in what it knows of them.
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
