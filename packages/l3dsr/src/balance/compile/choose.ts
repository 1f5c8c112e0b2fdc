/** From a flow to its real server: hash, slot and, if the slot is in transition, the memory of flows. */
import { IPV4, IPV6, view } from "@l3dsr/bpf";
import { NOBODY } from "../ring.ts";
import { IN_TRANSITION } from "../transition.ts";
import { emitFlowMemory } from "./flow-memory.ts";
import { ADDRESS4, ADDRESS6, type Packet, START, STATE, VIP_ENTRY } from "./frame.ts";
import { emitMix, loadSlot, slotOf } from "./slot.ts";

/** IPv4 clients have a first byte below this; from here on addresses are multicast or reserved. */
const IPV4_SOURCES_END = 224;
const LOOPBACK_NET = 127;
/** IPv6: addresses whose first 16 bits are this or more are link-local, site-local or multicast. */
const IPV6_SOURCES_END = 0xfe80;

/** The tests that can refuse a service's packet, whichever real it would go to. */
export function emitRefuse(packet: Packet): void {
	const { p, slots, leave } = packet;
	emitCheckSource(packet);
	p.comment("a SYN+ACK is not a client's");
	p.gotoIf(slots.state, "&", STATE.synAck, leave("syn-ack"));
	emitCheckHops(packet);
}

/** Tested before anything is written: a packet without a hop left goes to the kernel unchanged. */
export function emitCheckHops({ p, family, data, link, leave }: Packet): void {
	p.comment("the last hop?");
	const hops = family === "ipv4" ? view(data, IPV4, link).ttl : view(data, IPV6, link).hopLimit;
	p.gotoIf(hops, "<=", 1, leave("hops"));
}

/** Refuses a source that no client can have, or the VIP itself. */
export function emitCheckSource({ p, family, data, link, leave }: Packet): void {
	p.comment("may a client have this source?");
	if (family === "ipv4") {
		const { source, destination } = view(data, IPV4, link);
		{
			using from = p.load(view(data, ADDRESS4, source.offset).word, { name: "source" });
			using to = p.load(view(data, ADDRESS4, destination.offset).word, { name: "destination" });
			p.gotoIf(from, "==", to, leave("source"));
			from.and(0xff);
			p.gotoIf(from, "==", LOOPBACK_NET, leave("source"));
			// 0 wraps round, so one comparison covers both ends.
			from.sub(1);
			p.gotoIf(from, ">=", IPV4_SOURCES_END - 1, leave("source"));
		}
		return;
	}
	const { source, destination } = view(data, IPV6, link);
	const from = view(data, ADDRESS6, source.offset);
	const to = view(data, ADDRESS6, destination.offset);
	{
		using high = p.load(from.high, { name: "source" });
		p.gotoIf(high, "==", 0, leave("source"));
		const other = p.label("another source");
		p.gotoIf(to.high, "!=", high, other);
		using low = p.load(from.low, { name: "source" });
		p.gotoIf(to.low, "==", low, leave("source"));
		p.place(other);
	}
	using start = p.load(view(data, START, source.offset).start, { name: "source" }).toHost();
	p.gotoIf(start, ">=", IPV6_SOURCES_END, leave("source"));
}

/** `real` := the number of the packet's real in the whole table. Uses up `vip`, `ports` and `hash`. */
export function emitChoose(packet: Packet): void {
	const { p, options, slots, maps, family, hash, ports, vip, real, leave } = packet;
	const entry = view(vip, VIP_ENTRY);
	p.comment("hash the flow");
	{
		using mask = p.load(entry.ports, { name: "what of the ports counts" });
		ports.and(mask);
	}
	if (family === "ipv4") hash.lsh(32).or(ports);
	else hash.xor(ports);
	p.release(ports);
	{
		using seed = p.load(entry.seed);
		hash.xor(seed);
	}
	emitMix(packet, hash);
	p.comment("its slot");
	p.revive(real);
	{
		using at = slotOf(packet);
		loadSlot(packet, maps.ring, at, real);
	}
	const chosen = p.label("chosen");
	if (options.flows === "always") {
		p.store(slots.slot, real);
		emitFlowMemory(packet, chosen);
	} else if (options.flows === "transition") {
		p.unlikely(real, "&", IN_TRANSITION, () => {
			p.comment("the slot had another real a while ago");
			p.store(slots.slot, real);
			emitFlowMemory(packet, chosen);
		});
	} else real.and(NOBODY);
	p.place(chosen);
	p.gotoIf(real, ">=", NOBODY, leave("no-real"));
	p.comment("its number in the whole table");
	{
		using first = p.load(entry.first);
		real.add(first);
	}
	p.release(vip, hash);
}
