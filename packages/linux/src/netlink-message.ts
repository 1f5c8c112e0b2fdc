/** One message as bytes. */

/** struct nlmsghdr */
export const HEADER_BYTES = 16;
export const SEQ_OFFSET = 8;

const NLM_F_REQUEST = 1;

/** What a message says: its type, NLM_F bits besides REQUEST, and its payload. */
export interface MessageContent {
	readonly type: number;
	readonly flags?: number;
	readonly payload: Uint8Array;
}

/** Writes the header and the payload. Thousands may go into one datagram, so field by field, without copies. */
export function putMessage(
	bytes: Uint8Array,
	view: DataView,
	at: number,
	{ type, flags = 0, payload }: MessageContent,
	more: number,
	seq: number,
): void {
	view.setUint32(at, HEADER_BYTES + payload.length, true);
	view.setUint16(at + 4, type, true);
	view.setUint16(at + 6, NLM_F_REQUEST | more | flags, true);
	view.setUint32(at + SEQ_OFFSET, seq, true);
	bytes.set(payload, at + HEADER_BYTES);
}

/** The next message begins at a multiple of four bytes. */
export function paddedLength(length: number): number {
	return (length + 3) & ~3;
}
