/**
 * The memory of flows: buckets of eight entries, one cache line each. In a slot that is in transition, a flow with an
 * entry follows the entry; a flow that begins gets an entry; all other flows go where the slot's flows went before.
 *
 * An entry is written by one 64-bit store, so no CPU ever sees half of it.
 */
import { type Label, type Value, view } from "@l3dsr/bpf";
import { NOBODY } from "../ring.ts";
import {
	ALWAYS_TICKS,
	BUCKET_BYTES,
	FLOW_BITS,
	REAL,
	REAL_FLAG,
	TICK_SHIFT,
	UDP_TICKS,
} from "../tables/layout.ts";
import { IN_TRANSITION } from "../transition.ts";
import { emitFindTag, emitMakeRoom } from "./bucket.ts";
import { ENTRY64, HEADER_BYTES, type Packet, REAL_ENTRY, STATE, VIP_ENTRY } from "./frame.ts";
import { loadSlot, slotOf } from "./slot.ts";

/** An unconfirmed entry is replaced before any confirmed one, however old that is. */
const UNCONFIRMED = 0x1_0000;

/** `now` on the stack := the time in ticks. Values in r0-r5 are lost. */
export function emitNow({ p, options, slots }: Packet): void {
	using now = p.call(options.clock, [], "now").raw();
	now.rsh(TICK_SHIFT);
	p.store(slots.now, now);
}

/** `real` := the flow's real in its service; the stack's `slot` has the ring's value. Jumps to `chosen`. */
export function emitFlowMemory(packet: Packet, chosen: Label): void {
	const { p, options, slots, maps, hash, vip, real } = packet;
	const entry = view(vip, VIP_ENTRY);
	const decide = p.label("decide");
	emitNow(packet);
	p.revive(real);
	p.comment("the flow's bucket");
	using bucket = p.mapValue(maps.flows, HEADER_BYTES);
	{
		using offset = p
			.copy(hash, "offset")
			.and((1 << options.flowBits) - 1)
			.lsh(Math.log2(BUCKET_BYTES));
		bucket.add(offset);
	}
	using tag = p.copy(hash, "tag").rsh(32).or(1);
	const miss = p.label("no entry");
	p.comment("has it an entry?");
	emitFindTag(packet, bucket, tag, miss);
	emitFollow(packet, { bucket, tag }, decide, chosen);

	p.place(miss);
	p.comment("does it get one?");
	p.release(real);
	emitUnlessWanted(packet, decide);
	p.comment("one that is free, or else the oldest, those that are not confirmed first");
	emitMakeRoom(packet, bucket, { score: (score, all) => emitScore(packet, score, all) });

	p.place(decide);
	p.comment("where does a flow without entry go?");
	p.load(slots.slot, { into: real });
	const remember = p.label("remember");
	if (options.flows === "always") {
		const moving = p.label("in transition");
		p.gotoIf(real, "&", IN_TRANSITION, moving);
		p.goto(remember);
		p.place(moving);
	}
	real.and(NOBODY);
	p.gotoIf(slots.state, "&", STATE.begins, remember);
	const goesBack = p.label("back");
	{
		using udp = p.load(slots.state, { name: "state" }).and(STATE.udp);
		p.gotoIf(udp, "==", 0, goesBack);
		p.comment("UDP goes back for half a minute after the change");
		using age = p.load(slots.now, { name: "age" });
		{
			using changed = p.load(entry.changed);
			age.sub(changed);
		}
		// The program's clock may be a tick behind the one that noted the change.
		age.add(1);
		p.gotoIf(age, ">", UDP_TICKS + 1, remember);
	}
	p.place(goesBack);
	p.comment("to the real that the slot had before, if that is up");
	{
		using before = p.u32("before");
		{
			using at = slotOf(packet);
			loadSlot(packet, maps.before, at, before);
		}
		emitUnlessUp(packet, before, remember);
		real.set(before);
	}
	p.place(remember);
	p.gotoIf(real, ">=", NOBODY, chosen);
	emitUnlessWanted(packet, chosen);
	p.comment("leave an entry, not yet confirmed");
	{
		using value = p.load(slots.now, { name: "new entry" }).raw(64);
		value
			.lsh(FLOW_BITS.tick - FLOW_BITS.real)
			.or(real)
			.lsh(FLOW_BITS.real)
			.or(tag);
		p.store(view(bucket, ENTRY64).all, value);
	}
	p.goto(chosen);
}

/**
 * An entry with the flow's tag is at `bucket`: follows it and jumps to `chosen`, or jumps to `decide` if it does not
 * count.
 */
function emitFollow(
	packet: Packet,
	{ bucket, tag }: { bucket: Value; tag: Value },
	decide: Label,
	chosen: Label,
): void {
	const { p, options, slots, vip, real } = packet;
	p.comment("is it still the same, and of this transition?");
	{
		using age = p.u32("age");
		{
			using all = p.load(view(bucket, ENTRY64).all);
			{
				using same = p.copy(all, "same").and(0xffff_ffffn);
				p.gotoIf(same, "!=", tag, decide);
			}
			{
				using upper = p.copy(all, "upper").rsh(FLOW_BITS.real).and(NOBODY);
				real.set(upper);
			}
			all.rsh(FLOW_BITS.tick);
			p.load(slots.now, { into: age });
			age.sub(all).and(0xffff);
		}
		if (options.flows === "always") p.gotoIf(age, ">", ALWAYS_TICKS, decide);
		else {
			using most = p.load(slots.now, { name: "age of the transition" });
			{
				using since = p.load(view(vip, VIP_ENTRY).since);
				most.sub(since);
			}
			p.gotoIf(age, ">", most, decide);
		}
	}
	p.comment("a real that is down has lost its flows");
	emitUnlessUp(packet, real, decide);
	p.comment("confirm the entry");
	{
		using unconfirming = p.load(slots.state, { name: "state" }).and(STATE.begins | STATE.leavesNoEntry);
		p.gotoIf(unconfirming, "!=", 0, chosen);
	}
	{
		using value = p.load(slots.now, { name: "entry" }).raw(64);
		value
			.lsh(1)
			.or(1)
			.lsh(FLOW_BITS.confirmed - FLOW_BITS.real)
			.or(real)
			.lsh(FLOW_BITS.real)
			.or(tag);
		p.gotoIf(view(bucket, ENTRY64).all, "==", value, chosen);
		p.store(view(bucket, ENTRY64).all, value);
	}
	p.goto(chosen);
}

/** Jumps to `otherwise` if the packet may not leave an entry or needs none. */
function emitUnlessWanted({ p, options, slots }: Packet, otherwise: Label): void {
	using state = p.load(slots.state, { name: "state" });
	if (options.flows === "always") {
		p.gotoIf(state, "&", STATE.leavesNoEntry, otherwise);
		return;
	}
	const wanted = p.label("wanted");
	p.gotoIf(state, "&", STATE.begins, wanted);
	p.gotoIf(state, "&", STATE.leavesNoEntry, otherwise);
	p.gotoUnless(state, "&", STATE.udp, otherwise);
	p.place(wanted);
}

/** The score is the age, and higher if the entry is not confirmed. */
function emitScore({ p, slots }: Packet, score: Value, all: Value): void {
	all.rsh(FLOW_BITS.confirmed);
	p.load(slots.now, { into: score });
	const confirmed = p.label("confirmed");
	{
		using seen = p.copy(all, "seen").rsh(FLOW_BITS.tick - FLOW_BITS.confirmed);
		score.sub(seen).and(0xffff);
	}
	p.gotoIf(all, "&", 1, confirmed);
	score.or(UNCONFIRMED);
	p.place(confirmed);
}

/** Jumps to `otherwise` unless the service has a real with this number and it is up. */
function emitUnlessUp({ p, options, maps, vip }: Packet, real: Value, otherwise: Label): void {
	const entry = view(vip, VIP_ENTRY);
	{
		using room = p.load(entry.room);
		p.gotoIf(real, ">=", room, otherwise);
	}
	using number = p.copy(real, "number").raw(64);
	{
		using first = p.load(entry.first);
		number.add(first);
	}
	p.gotoIf(number, ">=", options.reals, otherwise);
	number.lsh(Math.log2(REAL.size));
	using at = p.mapValue(maps.reals, HEADER_BYTES);
	at.add(number);
	p.release(number);
	const up = p.label("up");
	p.gotoIf(view(at, REAL_ENTRY).flags, "&", REAL_FLAG.up, up);
	p.goto(otherwise);
	p.place(up);
}
