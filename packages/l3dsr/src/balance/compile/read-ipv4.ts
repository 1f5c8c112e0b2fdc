/** Reads an IPv4 header that is not plain: with options, of a fragment, or of another protocol. */

import { IPV4, type Label, struct, type Value, view } from "@l3dsr/bpf";
import { IPV4_FRAGMENT, PROTOCOL_NUMBER } from "@l3dsr/packet";
import { arrivedBytes } from "./arrival.ts";
import { loadContext, type Packet, STATE } from "./frame.ts";

const OPTION = { end: 0, noOperation: 1, looseRoute: 131, strictRoute: 137 } as const;
const OPTION_START = struct("option", { type: "u8", size: "u8" });
/** 40 bytes can hold at most 40 options. */
const MOST_OPTIONS = 40;

/** Sets the stack's `length`, `offset` and `protocol` to those of the packet and its transport header. */
export function emitReadIpv4(packet: Packet, end: Value, later: Label): void {
	const { p, slots, data, link, leave } = packet;
	const ip = view(data, IPV4, link);
	p.comment("the lengths in the header");
	{
		using header = p.load(ip.versionIhl, { name: "header" });
		header.and(0x0f).lsh(2);
		p.gotoIf(header, "<", IPV4.bytes, leave("length"));
		p.store(slots.limit, header);
		using length = p.load(ip.totalLength, { name: "length" }).toHost();
		p.gotoIf(length, "<", header, leave("length"));
		using arrived = arrivedBytes(packet, data, end);
		p.gotoIf(length, ">", arrived, leave("length"));
		p.store(slots.length, length);
		const plain = p.label("no options");
		p.gotoIf(header, "==", IPV4.bytes, plain);
		p.release(header, length, arrived, end);
		emitReadOptions(packet);
		p.place(plain);
	}
	p.revive(end);
	const context = loadContext(packet);
	p.load(context.data_end, { into: end });
	p.release(context.data.base);
	{
		using header = p.load(slots.limit, { name: "header" });
		p.store(slots.offset, header);
	}
	emitReadFragment(packet, later);
}

/** Source routes, and options that cannot be read, are left to the kernel. */
function emitReadOptions(packet: Packet): void {
	const { p, slots, data, link, leave } = packet;
	const refuse = leave("options");
	const done = p.label("options read");
	p.comment("read the options");
	p.store(slots.walked, 0);
	p.store(slots.offset, IPV4.bytes);
	p.loop("options", (again) => {
		using offset = p.load(slots.offset);
		{
			using header = p.load(slots.limit, { name: "header" });
			p.gotoIf(offset, ">", header, refuse);
			p.gotoIf(offset, "==", header, done);
		}
		{
			using count = p.load(slots.walked);
			p.gotoIf(count, "==", MOST_OPTIONS, refuse);
			count.add(1);
			p.store(slots.walked, count);
		}
		const context = loadContext(packet);
		using end = p.load(context.data_end, { name: "end of options" });
		p.release(context.data.base);
		using at = p.copy(data, "option");
		{
			using distance = p.copy(offset, "distance").and(0x3f);
			using wide = distance.raw(64);
			at.add(wide);
		}
		at.add(link);
		p.prove(at, 1, end, refuse);
		using type = p.load(view(at, OPTION_START).type);
		p.gotoIf(type, "==", OPTION.end, done);
		p.gotoIf(type, "==", OPTION.looseRoute, refuse);
		p.gotoIf(type, "==", OPTION.strictRoute, refuse);
		const step = p.label("next option");
		const long = p.label("option with a length");
		p.gotoIf(type, "!=", OPTION.noOperation, long);
		offset.add(1);
		p.store(slots.offset, offset);
		p.goto(step);
		p.place(long);
		{
			using last = p.copy(offset, "length byte").add(1);
			using header = p.load(slots.limit, { name: "header" });
			p.gotoIf(last, ">=", header, refuse);
		}
		p.prove(at, 2, end, refuse);
		{
			using size = p.load(view(at, OPTION_START).size);
			p.gotoIf(size, "<", 2, refuse);
			offset.add(size);
			p.store(slots.offset, offset);
		}
		p.place(step);
		p.goto(again);
	});
	p.place(done);
}

/** Jumps to `later` for a later fragment; notes a first one. */
function emitReadFragment({ p, slots, data, link, leave }: Packet, later: Label): void {
	const ip = view(data, IPV4, link);
	p.comment("a fragment?");
	{
		using protocol = p.load(ip.protocol, { name: "protocol" });
		p.store(slots.protocol, protocol);
		p.store(slots.datagramProtocol, protocol);
	}
	const whole = p.label("no fragment");
	const isLater = p.label("offset");
	{
		using field = p.load(ip.fragment, { name: "fragment" });
		p.gotoUnless(field, "&", IPV4_FRAGMENT.offset | IPV4_FRAGMENT.more, whole);
		{
			using id = p.load(ip.identification).raw(32);
			p.store(slots.identification, id);
		}
		p.gotoIf(field, "&", IPV4_FRAGMENT.offset, isLater);
		p.store(slots.state, STATE.firstFragment);
		p.goto(whole);
		p.place(isLater);
		{
			using offset = p.copy(field, "offset").and(IPV4_FRAGMENT.offset);
			const other = p.label("not within the header");
			p.gotoIf(offset, "!=", 1, other);
			p.gotoIf(slots.protocol, "==", PROTOCOL_NUMBER.tcp, leave("fragment-tcp"));
			p.place(other);
		}
		p.goto(later);
	}
	p.place(whole);
}
