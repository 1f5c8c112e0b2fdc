/** Several changes of one netfilter subsystem as one datagram, which the kernel applies together. */
import {
	HEADER,
	HEADER_BYTES,
	type MessageContent,
	messageLength,
	paddedLength,
	putMessage,
} from "./netlink-message.ts";

const NLM_F_ACK = 4;
/** include/uapi/linux/netfilter/nfnetlink.h */
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFNL_BATCH_GENID = 1;

/** A header and `struct nfgenmsg`. */
const MARK_BYTES = HEADER_BYTES + 4;
/** The attribute NFNL_BATCH_GENID. */
const GENERATION_BYTES = 8;

/** Encoded once; `Netlink.changeTogether` sends it, as often as wanted. */
export class NetlinkBatch {
	/** Number of changes. */
	readonly count: number;
	/** Room for the generation; the message that begins the batch; the changes; the message that ends it. */
	readonly #bytes: Uint8Array;
	readonly #view: DataView;
	/** `struct nfgenmsg` of the first and last message. */
	readonly #mark: Uint8Array;

	constructor(subsystem: number, changes: readonly MessageContent[]) {
		this.count = changes.length;
		this.#mark = Uint8Array.of(0, 0, subsystem >> 8, subsystem & 0xff);
		const length = changes.reduce((sum, { payload }) => sum + paddedLength(HEADER_BYTES + payload.length), 0);
		this.#bytes = new Uint8Array(GENERATION_BYTES + 2 * MARK_BYTES + length);
		this.#view = new DataView(this.#bytes.buffer);
		let at = GENERATION_BYTES + MARK_BYTES;
		for (const [index, change] of changes.entries()) {
			// Only the last change is acknowledged; of the others only refusals are reported.
			this.#put(at, change, index === changes.length - 1 ? NLM_F_ACK : 0);
			at += paddedLength(HEADER_BYTES + change.payload.length);
		}
		this.#put(at, { type: NFNL_MSG_BATCH_END, payload: this.#mark });
	}

	/** Size in bytes. */
	get size(): number {
		return this.#bytes.length;
	}

	/**
	 * The bytes to be sent, with sequence numbers from `first`, which is that of the beginning. They are valid until
	 * the next call.
	 */
	numbered(first: number, generation: number | undefined): Uint8Array {
		const from = generation === undefined ? GENERATION_BYTES : 0;
		this.#put(from, { type: NFNL_MSG_BATCH_BEGIN, payload: this.#mark });
		if (generation !== undefined) {
			this.#view.setUint32(from + HEADER.length, MARK_BYTES + GENERATION_BYTES, true);
			this.#view.setUint16(MARK_BYTES, GENERATION_BYTES, true);
			this.#view.setUint16(MARK_BYTES + 2, NFNL_BATCH_GENID, true);
			this.#view.setUint32(MARK_BYTES + 4, generation);
		}
		let seq = first;
		for (let at = from; at < this.#bytes.length; at += paddedLength(messageLength(this.#view, at))) {
			this.#view.setUint32(at + HEADER.seq, seq++, true);
		}
		return this.#bytes.subarray(from);
	}

	#put(at: number, change: MessageContent, more = 0): void {
		putMessage(this.#bytes, this.#view, at, change, more, 0);
	}
}
