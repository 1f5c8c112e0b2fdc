/**
 * Buckets of eight 64-bit entries, one cache line each, used by the memory of flows and the memory of fragments. The
 * index of an entry goes through the stack, so that the verifier does not explore each of the eight separately.
 */
import { type Label, type Value, view } from "@l3dsr/bpf";
import { BUCKET_BYTES, BUCKET_ENTRIES } from "../tables/layout.ts";
import { ENTRY64, type Packet, TAG } from "./frame.ts";

/** `bucket` := its entry with the tag; jumps to `miss` if there is none. */
export function emitFindTag(packet: Packet, bucket: Value, tag: Value, miss: Label): void {
	const { p, slots } = packet;
	const hit = p.label("entry found");
	const hits = Array.from({ length: BUCKET_ENTRIES }, (_, n) => {
		const found = p.label(`entry ${n} found`);
		p.gotoIf(view(bucket, TAG, n * 8, `entry ${n}`).tag, "==", tag, found);
		return found;
	});
	p.goto(miss);
	hits.forEach((found, n) => {
		p.place(found);
		p.store(slots.entry, 8 * n);
		p.goto(hit);
	});
	p.place(hit);
	emitToEntry(packet, bucket);
}

export interface Room {
	/** An entry with this tag may be replaced like a free one. */
	readonly tag?: Value;
	/** `score` := how dispensable the entry `all` is, less than 2^29; `all` is gone. */
	readonly score: (score: Value, all: Value) => void;
}

/** `bucket` := its free entry or, if all are taken, the one with the highest score. */
export function emitMakeRoom(packet: Packet, bucket: Value, { tag, score: emitScore }: Room): void {
	const { p, slots } = packet;
	const done = p.label("entry chosen");
	const fitting: Label[] = [];
	{
		/** The score, with the entry's index in the lowest three bits. */
		using best = p.u32("best").set(0);
		for (let n = 0; n < BUCKET_ENTRIES; n++) {
			const fits = p.label(`entry ${n} fits`);
			fitting.push(fits);
			using score = p.u32("score");
			{
				using all = p.load(view(bucket, ENTRY64, n * 8, `entry ${n}`).all);
				p.gotoIf(all, "==", 0, fits);
				if (tag !== undefined) p.gotoIf(view(bucket, TAG, n * 8, `entry ${n}`).tag, "==", tag, fits);
				emitScore(score, all);
			}
			score.lsh(3).or(n);
			const lower = p.label("lower");
			p.gotoIf(score, "<", best, lower);
			best.set(score);
			p.place(lower);
		}
		best.and(BUCKET_ENTRIES - 1).lsh(3);
		p.store(slots.entry, best);
	}
	p.goto(done);
	fitting.forEach((fits, n) => {
		p.place(fits);
		p.store(slots.entry, 8 * n);
		p.goto(done);
	});
	p.place(done);
	emitToEntry(packet, bucket);
}

/** Adds the offset in the stack's `entry` to `bucket`. */
function emitToEntry({ p, slots }: Packet, bucket: Value): void {
	using offset = p.load(slots.entry, { name: "entry offset" });
	offset.and(BUCKET_BYTES - 8);
	using wide = offset.raw(64);
	bucket.add(wide);
}
