/**
 * One TCP connection from the client's side along a VIP's path: sent to the real server with the VIP's code, answered
 * by the VIP. Decides what to send next, and how far the connection got. It implements as much of RFC 9293 as a
 * client that sends once needs. Pure.
 */
import { type Address, sameAddress, TCP_FLAG } from "@l3dsr/packet";
import {
	type Envelope,
	encodeReset,
	encodeSegment,
	encodeSyn,
	type Incoming,
	type IncomingPacket,
	type Ports,
	USUAL_SEGMENT_BYTES,
} from "./packet.ts";

/** How far a connection got after the SYN+ACK. */
export type Conversation =
	/** The server acknowledged everything, and its answer (if one was expected) arrived, `bytes` long. */
	| { readonly kind: "complete"; readonly bytes: number }
	/** Nothing after the SYN+ACK was acknowledged. The SYN+ACK was repeated `repeated` times. */
	| { readonly kind: "ignored"; readonly repeated: number }
	| { readonly kind: "reset"; readonly from: Address }
	/** The request was acknowledged but not answered; `closed`: the server then closed the connection. */
	| { readonly kind: "unanswered"; readonly closed: boolean }
	/** `bytes` of the answer arrived, then data after a gap: the data in between was lost. */
	| { readonly kind: "gap"; readonly bytes: number };

export interface ConversationSpec {
	readonly envelope: Envelope;
	readonly ports: Ports;
	/** Sequence number of the SYN. */
	readonly sequence: number;
	/** Sent after the handshake; without it the connection is closed at once, which the server must acknowledge. */
	readonly request?: Uint8Array;
	/** The maximum segment size to announce; default: that of a client on Ethernet. */
	readonly segmentBytes?: number;
}

/** Enough of an answer; it fits the window. */
const ENOUGH_BYTES = 60_000;

type Segment = Extract<Incoming, { kind: "tcp" }>;

export class TcpConversation {
	readonly #spec: ConversationSpec;
	/** The address that answered the SYN. */
	#peer: Address | undefined;
	/** The server's next sequence number. */
	#expected = 0;
	#repeated = 0;
	#taken = false;
	#bytes = 0;
	#gap = false;
	#finished = false;
	#resetBy: Address | undefined;

	constructor(spec: ConversationSpec) {
		this.#spec = spec;
	}

	/** The first packet. */
	syn(): Uint8Array {
		const { envelope, ports, sequence, segmentBytes } = this.#spec;
		return encodeSyn(envelope, ports, sequence, segmentBytes ?? USUAL_SEGMENT_BYTES[envelope.source.family]);
	}

	/** Takes a segment that arrived at our port and returns the replies to send. */
	take({ source, content }: IncomingPacket & { readonly content: Segment }): Uint8Array[] {
		if (content.sourcePort !== this.#spec.ports.destinationPort) return [];
		if ((content.flags & TCP_FLAG.rst) !== 0) {
			this.#resetBy ??= source;
			return [];
		}
		if ((content.flags & TCP_FLAG.syn) !== 0) return this.#greet(source, content);
		if (this.#peer === undefined || !sameAddress(source, this.#peer)) return [];
		if (signed(content.acknowledgement - this.#end) >= 0) this.#taken = true;
		return this.#receive(content);
	}

	#greet(source: Address, { acknowledgement, sequence }: Segment): Uint8Array[] {
		if (signed(acknowledgement - this.#spec.sequence) !== 1) return [];
		if (this.#peer === undefined) {
			this.#peer = source;
			this.#expected = (sequence + 1) >>> 0;
		} else {
			this.#repeated++;
		}
		return [this.#segment(TCP_FLAG.ack, 1), ...this.again()];
	}

	#receive({ sequence, dataBytes, flags }: Segment): Uint8Array[] {
		const fin = (flags & TCP_FLAG.fin) !== 0;
		if (dataBytes === 0 && !fin) return [];
		const ahead = signed(sequence - this.#expected);
		const fresh = ahead + dataBytes;
		if (ahead > 0) this.#gap = true;
		else if (fresh >= 0) {
			this.#gap = false;
			this.#bytes += fresh;
			this.#expected = (this.#expected + fresh) >>> 0;
			if (fin && !this.#finished) {
				this.#finished = true;
				this.#expected = (this.#expected + 1) >>> 0;
			}
		}
		return [this.#segment(TCP_FLAG.ack, this.#taken ? this.#end - this.#spec.sequence : 1)];
	}

	/** What has not been acknowledged, to be sent (again). */
	again(): Uint8Array[] {
		if (this.#peer === undefined) return [this.syn()];
		if (this.#taken) return [];
		const { request } = this.#spec;
		return request === undefined
			? [this.#segment(TCP_FLAG.fin | TCP_FLAG.ack, 1)]
			: [this.#segment(TCP_FLAG.psh | TCP_FLAG.ack, 1, request)];
	}

	/** True if the SYN+ACK has arrived. */
	get begun(): boolean {
		return this.#peer !== undefined;
	}

	/** True if there is nothing left to wait for. */
	get over(): boolean {
		if (this.#resetBy !== undefined || this.#finished || this.#bytes >= ENOUGH_BYTES) return true;
		return this.#taken && this.#spec.request === undefined;
	}

	/** How far the connection got. */
	outcome(): Conversation {
		const asked = this.#spec.request !== undefined;
		const done = this.#taken && (!asked || (this.#bytes > 0 && !this.#gap));
		if (done) return { kind: "complete", bytes: this.#bytes };
		if (this.#resetBy !== undefined) return { kind: "reset", from: this.#resetBy };
		if (!this.#taken) return { kind: "ignored", repeated: this.#repeated };
		if (this.#gap) return { kind: "gap", bytes: this.#bytes };
		return { kind: "unanswered", closed: this.#finished };
	}

	/** Makes the server drop the connection, in any state. */
	reset(): Uint8Array {
		const { envelope, ports, sequence } = this.#spec;
		return encodeReset(envelope, ports, this.#taken ? this.#end : sequence + 1);
	}

	/** The sequence number after everything sent. */
	get #end(): number {
		const { sequence, request } = this.#spec;
		return (sequence + 1 + (request?.length ?? 1)) >>> 0;
	}

	#segment(flags: number, offset: number, data?: Uint8Array): Uint8Array {
		const { envelope, ports, sequence } = this.#spec;
		return encodeSegment(envelope, ports, {
			sequence: (sequence + offset) >>> 0,
			acknowledgement: this.#expected,
			flags,
			...(data === undefined ? {} : { data }),
		});
	}
}

/** The signed difference of two sequence numbers. */
function signed(difference: number): number {
	return difference | 0;
}
