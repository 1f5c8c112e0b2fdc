/**
 * The memory of fragments: the real that a datagram's first fragment went to, for the later fragments, which have no
 * ports. Buckets of eight entries, as in the memory of flows.
 */
import { IPV4, IPV6, type Label, type Value, view } from "@l3dsr/bpf";
import { FOLD } from "../hash.ts";
import { BUCKET_BYTES, FRAGMENT_BITS, FRAGMENT_TICKS, MOST_NUMBERS } from "../tables/layout.ts";
import { emitFindTag, emitMakeRoom } from "./bucket.ts";
import { emitFoldAt } from "./find-service.ts";
import { emitNow } from "./flow-memory.ts";
import { ENTRY64, HEADER_BYTES, type Packet } from "./frame.ts";
import { emitMix } from "./slot.ts";

const AGE_MASK = 0xfff;

/** Tag and bucket of the fragment's datagram. Afterwards `now` is on the stack; r0-r5 are lost. */
function findBucket(packet: Packet): { bucket: Value; tag: Value } {
	const { p, options, maps, slots, family, data, link } = packet;
	emitNow(packet);
	p.comment("the datagram's bucket");
	const { source, destination } = family === "ipv4" ? view(data, IPV4, link) : view(data, IPV6, link);
	const tag = p.u64("datagram");
	emitFoldAt(packet, data, source.offset, tag);
	tag.mul(FOLD);
	{
		using to = p.u64("destination");
		emitFoldAt(packet, data, destination.offset, to);
		tag.add(to);
	}
	{
		using id = p.load(slots.datagramProtocol, { name: "id" }).raw(64);
		id.lsh(32);
		{
			using identification = p.load(slots.identification);
			id.or(identification);
		}
		tag.xor(id);
	}
	emitMix(packet, tag);
	const bucket = p.mapValue(maps.fragments, HEADER_BYTES);
	{
		using offset = p
			.copy(tag, "offset")
			.and((1 << options.fragmentBits) - 1)
			.lsh(Math.log2(BUCKET_BYTES));
		bucket.add(offset);
	}
	tag.rsh(32).or(1);
	return { bucket, tag };
}

/** Remembers that the datagram went to the real in the stack's `key`. Values in r0-r5 are lost. */
export function emitRememberDatagram(packet: Packet): void {
	const { p, slots } = packet;
	const { bucket, tag } = findBucket(packet);
	p.comment("an entry that it has, that is free, or else the oldest");
	emitMakeRoom(packet, bucket, {
		tag,
		score(score, all) {
			p.load(slots.now, { into: score });
			all.rsh(FRAGMENT_BITS.tick);
			score.sub(all).and(AGE_MASK);
		},
	});
	{
		using value = p.load(slots.now, { name: "entry" }).raw(64);
		value.lsh(FRAGMENT_BITS.tick - FRAGMENT_BITS.real);
		{
			using number = p.load(slots.key);
			value.or(number);
		}
		value.lsh(FRAGMENT_BITS.real).or(tag);
		p.store(view(bucket, ENTRY64).all, value);
	}
	p.release(bucket, tag);
}

/** `real` := the number of the real that the datagram's first fragment went to; jumps to `unknown` if there is none. */
export function emitRecallDatagram(packet: Packet, unknown: Label): void {
	const { p, slots, options, real } = packet;
	const { bucket, tag } = findBucket(packet);
	emitFindTag(packet, bucket, tag, unknown);
	p.comment("seen lately?");
	using all = p.load(view(bucket, ENTRY64).all, { in: 1 });
	{
		using same = p.copy(all, "same").and(0xffff_ffffn);
		p.gotoIf(same, "!=", tag, unknown);
	}
	p.release(bucket, tag);
	{
		using age = p.load(slots.now, { name: "age" });
		{
			using seen = p.copy(all, "seen").rsh(FRAGMENT_BITS.tick);
			age.sub(seen).and(AGE_MASK);
		}
		p.gotoIf(age, ">", FRAGMENT_TICKS, unknown);
	}
	all.rsh(FRAGMENT_BITS.real).and(MOST_NUMBERS - 1);
	p.gotoIf(all, ">=", options.reals, unknown);
	p.revive(real);
	real.set(all);
}
