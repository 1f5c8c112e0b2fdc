/** Sends a rewritten frame: from an interface to a known next hop, or by the kernel's routing. */
import { ETHERNET, IPV4, IPV6, part, struct, view, XDP_ACTION } from "@l3dsr/bpf";
import { PASS } from "../../programs/packet.ts";
import { HOP } from "../tables/layout.ts";
import { emitCountReason } from "./count.ts";
import { type Forwarded, first4, MACS, REAL_ENTRY, STATE } from "./frame.ts";

const AF_INET = 2;
const AF_INET6 = 10;
/** BPF_FIB_LKUP_RET_FRAG_NEEDED, uapi/linux/bpf.h. */
const FRAGMENTATION_NEEDED = 8;
/** uapi/linux/bpf.h: struct bpf_fib_lookup; inputs first, outputs after `|`. */
const FIB_LOOKUP = struct("fib", {
	family: "u8",
	protocol: "u8",
	ports: { bytes: 4 },
	/**
	 *  the MTU, if the packet is larger
	 */
	totalLength: "u16",
	ifindex: "u32",
	/** | flow label, route metric */
	tos: "be16",
	_pad: "be16",
	source: { bytes: 16 },
	destination: { bytes: 16 },
	vlan: { bytes: 4 },
	sourceMac: { bytes: 6 },
	destinationMac: { bytes: 6 },
});

/**
 * Sets the stack's `ifindex` to the interface to send from. Without a next hop in the tables, it asks the kernel's
 * routing table; if that has none at this interface either, the kernel gets the packet, routes it and resolves the
 * neighbour.
 */
export function emitNextHop(packet: Forwarded): void {
	const { p, slots, entry } = packet;
	p.comment("where does it go out?");
	using ifindex = p.load(view(entry, REAL_ENTRY).ifindex);
	p.store(slots.ifindex, ifindex);
	p.unlikely(ifindex, "==", HOP.unresolved, () => {
		p.release(ifindex);
		emitAskKernel(packet);
		p.revive(ifindex);
		ifindex.set(0);
	});
}

function addState({ p, slots }: Forwarded, bit: number): void {
	using state = p.load(slots.state, { name: "state" });
	state.or(bit);
	p.store(slots.state, state);
}

function emitAskKernel(packet: Forwarded): void {
	const { p, family, data, slots, link, entry } = packet;
	p.comment("no next hop in the tables: ask the kernel's");
	const fib = p.stack("fib", FIB_LOOKUP);
	p.clear(fib);
	p.store(fib.family, family === "ipv4" ? AF_INET : AF_INET6);
	{
		using length = p.load(slots.length);
		p.store(fib.totalLength, length);
	}
	p.store(fib.ifindex, packet.options.ifindex);
	const real = view(entry, REAL_ENTRY);
	if (family === "ipv4") {
		p.copyBytes(first4(fib.source), first4(view(data, IPV4, link).source), 4);
		p.copyBytes(first4(fib.destination), first4(real.address), 4);
	} else {
		p.copyBytes(fib.source, view(data, IPV6, link).source, 4);
		p.copyBytes(fib.destination, real.address, 4);
	}
	const unknown = p.label("no route or neighbour, or by another interface");
	const found = p.label("asked");
	{
		using context = p.load(slots.context, { name: "context" });
		using failed = p.call("bpf_fib_lookup", [context, fib, FIB_LOOKUP.bytes, 0], "failed");
		// The kernel's ICMP error must quote the packet as the client sent it.
		p.gotoIf(failed, "==", FRAGMENTATION_NEEDED, packet.leave("too-big"));
		p.gotoIf(failed, "!=", 0, unknown);
	}
	{
		using ifindex = p.load(fib.ifindex);
		// Another interface may not be able to send a frame at XDP, and would drop it without a word.
		p.gotoIf(ifindex, "!=", packet.options.ifindex, unknown);
		p.store(slots.ifindex, ifindex);
	}
	for (const offset of [0, 2, 4]) {
		{
			using two = p.load(part(fib.destinationMac, offset, 2));
			p.store(part(slots.macs, offset, 2), two);
		}
		using two = p.load(part(fib.sourceMac, offset, 2));
		p.store(part(slots.macs, 6 + offset, 2), two);
	}
	addState(packet, STATE.hopOnStack);
	p.goto(found);
	p.place(unknown);
	addState(packet, STATE.byKernel);
	p.place(found);
}

/** Ends the program with the verdict. */
export function emitWayOut(packet: Forwarded): void {
	const { p, options, data, slots, entry } = packet;
	if (options.hook === "tc" || options.forward === "kernel") {
		p.comment("the kernel routes it");
		p.exit(PASS[options.hook]);
		return;
	}
	p.unlikely(slots.state, "&", STATE.hopOnStack | STATE.byKernel, () => emitOtherWay(packet));
	p.unlikely(slots.ifindex, "==", HOP.kernel, () => emitByKernel(packet));
	p.comment("to the next hop");
	const frame = view(data, MACS).both;
	p.copyBytes(frame, view(entry, MACS, REAL_ENTRY.fields.nextHop.offset).both);
	emitSend(packet);
}

/** Sends from the interface it came in on, or redirects to another one. */
function emitSend({ p, options, slots }: Forwarded): void {
	const other = p.label("other interface");
	using ifindex = p.load(slots.ifindex);
	p.gotoIf(ifindex, "!=", options.ifindex, other);
	p.exit(XDP_ACTION.TX);
	p.place(other);
	p.comment("out of another interface");
	using verdict = p.call("bpf_redirect", [ifindex, 0], "verdict");
	p.exit(verdict);
}

function emitOtherWay(packet: Forwarded): void {
	const { p, data, slots } = packet;
	const kernel = p.label("by the kernel");
	p.gotoIf(slots.state, "&", STATE.byKernel, kernel);
	p.comment("to the next hop that the kernel's table gave");
	const ethernet = view(data, ETHERNET);
	for (const offset of [0, 2, 4]) {
		for (const [to, from] of [
			[ethernet.destination, 0],
			[ethernet.source, 6],
		] as const) {
			using two = p.load(part(slots.macs, from + offset, 2));
			p.store(part(to, offset, 2), two);
		}
	}
	emitSend(packet);
	p.place(kernel);
	p.comment("count that no next hop was known");
	emitCountReason(packet, "by-kernel");
	emitByKernel(packet);
}

/** Restores the hop limit, because the kernel decrements it itself. */
function emitByKernel({ p, family, data, link }: Forwarded): void {
	p.comment("the kernel routes it, and takes the hop itself");
	const ip4 = view(data, IPV4, link);
	const place = family === "ipv4" ? ip4.ttl : view(data, IPV6, link).hopLimit;
	{
		using hops = p.load(place);
		hops.add(1);
		p.store(place, hops);
	}
	if (family === "ipv4") {
		using one = p.u64("old - new").set(0xfffe);
		p.addToChecksum(ip4.checksum, one, 0xffffn);
	}
	p.exit(XDP_ACTION.PASS);
}
