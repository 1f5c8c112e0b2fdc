/**
 * The ring of a service, and searches over all of its slots. Most of the time from a failure to the tables is spent in
 * these searches. They are short loops that handle only numbers, and they reuse two arrays instead of allocating.
 */

/** A prime, as Maglev's permutations require: each step size visits all slots. */
export const RING_SLOTS = 65537;
/** The value of a slot without a real. A slot has 15 bits for its real. */
export const NOBODY = 0x7fff;

const MARKS = new Uint8Array(NOBODY + 1);
const FOUND = new Uint32Array(RING_SLOTS);

/** One mark for each number of a real, all 0. Valid until the next call. */
export function noMarks(): Uint8Array {
	return MARKS.fill(0);
}

/** The slots of reals without a mark, in order. Valid until the next search. */
export function findUnmarked(ring: Uint16Array, marks: Uint8Array): Uint32Array {
	let count = 0;
	for (let slot = 0; slot < RING_SLOTS; slot++) if (marks[ring[slot] as number] === 0) FOUND[count++] = slot;
	return FOUND.subarray(0, count);
}

/** The slots whose real differs from that in `target`, in order. Valid until the next search. */
export function findDifferent(ring: Uint16Array, target: Uint16Array): Uint32Array {
	let count = 0;
	// Most rings equal their target and have no slot in transition.
	if (Buffer.compare(bytesOf(ring), bytesOf(target)) !== 0) {
		for (let slot = 0; slot < RING_SLOTS; slot++)
			if (((ring[slot] as number) & NOBODY) !== (target[slot] as number)) FOUND[count++] = slot;
	}
	return FOUND.subarray(0, count);
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint16Array): Uint8Array {
	return new Uint8Array(buffer, byteOffset, byteLength);
}
