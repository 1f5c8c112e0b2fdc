/** One message as bytes. */

/** struct nlmsghdr of include/uapi/linux/netlink.h: the places of its fields. */
export const HEADER = { length: 0, type: 4, flags: 6, seq: 8, port: 12 } as const;
export const HEADER_BYTES = 16;

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
	view.setUint32(at + HEADER.length, HEADER_BYTES + payload.length, true);
	view.setUint16(at + HEADER.type, type, true);
	view.setUint16(at + HEADER.flags, NLM_F_REQUEST | more | flags, true);
	view.setUint32(at + HEADER.seq, seq, true);
	bytes.set(payload, at + HEADER_BYTES);
}

/** Length of the message at this place, with its header. */
export function messageLength(view: DataView, at: number): number {
	return view.getUint32(at + HEADER.length, true);
}

/** The next message begins at a multiple of four bytes. */
export function paddedLength(length: number): number {
	return (length + 3) & ~3;
}
