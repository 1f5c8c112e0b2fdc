/** Reads and writes numbers in network order in the bytes of a packet. */

/** Zero past the end: callers have checked that the byte exists, or treat a missing one as zero. */
export function byteAt(bytes: ArrayLike<number>, offset: number): number {
	return bytes[offset] ?? 0;
}

/** 16 bits in network order. */
export function wordAt(bytes: ArrayLike<number>, offset: number): number {
	return (byteAt(bytes, offset) << 8) | byteAt(bytes, offset + 1);
}

/** Stores 16 bits in network order. */
export function putWord(bytes: Uint8Array, offset: number, value: number): void {
	bytes[offset] = (value >> 8) & 0xff;
	bytes[offset + 1] = value & 0xff;
}
