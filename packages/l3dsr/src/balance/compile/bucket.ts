/**
 * Buckets of eight entries of 64 bits, a cache line each: the memory of flows and that of fragments. Which of the eight it
 * is goes by the stack, so that the verifier does not go on once for each.
 */
import { type Label, type Value, view } from "@l3dsr/bpf";
import { BUCKET_BYTES, BUCKET_ENTRIES } from "../tables/layout.ts";
import { ENTRY64, type Packet, TAG } from "./frame.ts";

/** `bucket` := its entry with the tag; goes to `miss` when it has none. */
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
	/** An entry with this tag is as good as a free one. */
	readonly tag?: Value;
	/** `score` := how well the entry `all` can be done without, less than 2^29; `all` is gone. */
	readonly score: (score: Value, all: Value) => void;
}

/** `bucket` := its entry that is free, or else the one with the highest score. */
export function emitMakeRoom(packet: Packet, bucket: Value, { tag, score: emitScore }: Room): void {
	const { p, slots } = packet;
	const done = p.label("entry chosen");
	const fitting: Label[] = [];
	{
		/** The score, and in the last three bits which entry it is of. */
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

/** `bucket` := its entry at the offset in the stack's `entry`. */
function emitToEntry({ p, slots }: Packet, bucket: Value): void {
	using offset = p.load(slots.entry, { name: "entry offset" });
	offset.and(BUCKET_BYTES - 8);
	using wide = offset.raw(64);
	bucket.add(wide);
}
