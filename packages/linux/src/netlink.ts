/**
 * Netlink: requests and their answers, matched by sequence number, with the kernel's own explanation of
 * errors.
 */

import { closeSync } from "node:fs";
import { monotonicMs } from "./clock.ts";
import { ERRNO } from "./errno.ts";
import { LinuxError } from "./error.ts";
import { Layout } from "./layout.ts";
import { check, SyscallError } from "./libc.ts";
import { type Attributes, decodeAttributes, textAttribute, u32Attribute } from "./netlink-attribute.ts";
import type { NetlinkBatch } from "./netlink-batch.ts";
import { HEADER, HEADER_BYTES, messageLength, paddedLength, putMessage } from "./netlink-message.ts";
import {
	AF_NETLINK,
	bind,
	enlargeBuffer,
	MSG_DONTWAIT,
	MSG_PEEK,
	MSG_TRUNC,
	POLLFD,
	POLLIN,
	poll,
	recv,
	SO_RCVTIMEO,
	SOCK_CLOEXEC,
	SOCK_RAW,
	SOL_SOCKET,
	send,
	setsockopt,
	socket,
} from "./socket.ts";

/** Netlink protocols, include/uapi/linux/netlink.h. */
export const NETLINK_PROTOCOL = { ROUTE: 0, SOCK_DIAG: 4, NETFILTER: 12 } as const;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NETLINK_ADD_MEMBERSHIP = 1;

/** Flags of a request. */
export const NLM_F = {
	REQUEST: 0x1,
	ACK: 0x4,
	DUMP: 0x300,
	REPLACE: 0x100,
	EXCL: 0x200,
	CREATE: 0x400,
	APPEND: 0x800,
} as const;
/** Flags of an answer (some have the same bits as flags of a request). */
const NLM_F_MULTI = 0x2;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLM_F_DUMP_INTR = 0x10;

const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;

/** The kernel answers at once; after this time without an answer there will be none. */
const ANSWER_TIMEOUT_S = 5;

const SOCKADDR_NL = new Layout({ family: "u16", _pad: "u16", pid: "u32", groups: "u32" });
const TIMEVAL = new Layout({ sec: "u64", usec: "u64" });
const INT = new Layout({ value: "s32" });

/** The most that the kernel charges for an unread refusal, and the buffer size that every socket may have. */
const REFUSAL_BYTES = 2048;
const LEAST_ROOM_BYTES = 212_992;
/** More than any answer: the longest are those about a network card with a hundred virtual functions. */
const ROOM_BYTES = 1 << 18;
let room: Uint8Array | undefined;

/** Values of socket options, encoded once: a command opens dozens of sockets. */
const ON = INT.encode({ value: 1 });
const TIMEOUT = TIMEVAL.encode({ sec: ANSWER_TIMEOUT_S });

/** One message of an answer, without its header. */
export interface NetlinkMessage {
	readonly type: number;
	readonly flags: number;
	readonly payload: Uint8Array;
}

/** A message that the kernel sends without a request. */
export interface UnsolicitedMessage extends NetlinkMessage {
	/** The netlink port of the socket whose request caused the message; 0: none. */
	readonly port: number;
}

/** A request: message type (RTM_* or NFT_MSG_*), and the fixed structure and attributes in `payload`. */
export interface NetlinkRequest {
	readonly type: number;
	/** NLM_F bits besides REQUEST, ACK and DUMP, which the functions below add. */
	readonly flags?: number;
	readonly payload: Uint8Array;
	/** The action and its object, for errors: `attach program x to eth0`. */
	readonly doing: string;
}

/** A netlink socket; default protocol rtnetlink. */
export class Netlink implements Disposable {
	#fd: number;
	#isBound = false;
	#seq = 0;

	constructor(protocol: (typeof NETLINK_PROTOCOL)[keyof typeof NETLINK_PROTOCOL] = NETLINK_PROTOCOL.ROUTE) {
		this.#fd = check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), "open a netlink socket");
		// Kernels before 4.12 (EXT_ACK) and 4.20 (STRICT_CHK) refuse; then errors have no explanation and
		// dumps are longer.
		for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK]) {
			setsockopt(this.#fd, SOL_NETLINK, option, ON, ON.length);
		}
		setsockopt(this.#fd, SOL_SOCKET, SO_RCVTIMEO, TIMEOUT, TIMEOUT.length);
	}

	/**
	 * Requests a change and waits for its acknowledgement. Throws SyscallError with the kernel's explanation.
	 */
	change(request: NetlinkRequest): void {
		this.#exchange(request, NLM_F.ACK);
	}

	/** Requests one object. Throws SyscallError (ENODEV and the like). */
	get(request: NetlinkRequest): NetlinkMessage {
		const [message] = this.#exchange(request, 0);
		if (message === undefined) throw malformed(request.doing, "an answer without a message");
		return message;
	}

	/** Requests all objects. Throws SyscallError. */
	dump(request: NetlinkRequest): readonly NetlinkMessage[] {
		return this.#exchange(request, NLM_F.DUMP);
	}

	/**
	 * Applies the changes of a batch, all or none; with `generation`, only if the subsystem still has that
	 * generation (else ERESTART). Throws the NetlinkRefusal of the first refused change.
	 */
	changeTogether(batch: NetlinkBatch, doing: string, generation?: number): void {
		const { count } = batch;
		if (count === 0) return;
		const first = this.#seq + 1;
		const last = first + count;
		this.#seq = last + 1;
		const bytes = batch.numbered(first, generation);
		enlargeBuffer(this.#fd, "send", 2 * bytes.length);
		// Every change may be refused, and each refusal is a datagram.
		enlargeBuffer(this.#fd, "receive", Math.max(LEAST_ROOM_BYTES, count * REFUSAL_BYTES));
		const sent = send(this.#fd, bytes, bytes.length, 0);
		if (sent === -ERRNO.EMSGSIZE) throw tooLong(doing, bytes.length);
		check(sent, doing);
		let refusal: NetlinkRefusal | undefined;
		for (let done = false; !done; ) {
			for (const message of parseMessages(this.#receive(doing), doing)) {
				if (message.seq < first || message.type !== NLMSG_ERROR) continue;
				const place = message.seq - first;
				refusal ??= refusalOf(message, doing, place === 0 ? undefined : place - 1);
				// The answer to a batch that is refused as a whole has the sequence number of its beginning.
				if (message.seq === last || (message.seq === first && refusal !== undefined)) done = true;
			}
		}
		if (refusal !== undefined) throw refusal;
	}

	/**
	 * Receives the messages of a multicast group of the protocol through {@link unsolicited}. Throws
	 * SyscallError.
	 */
	joinGroup(group: number, doing: string): void {
		if (!this.#isBound) {
			// Membership needs a port, which the kernel assigns when the socket is bound or first sends.
			const address = SOCKADDR_NL.encode({ family: AF_NETLINK });
			check(bind(this.#fd, address, address.length), doing);
			this.#isBound = true;
		}
		const value = INT.encode({ value: group });
		check(setsockopt(this.#fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, value, value.length), doing);
	}

	/**
	 * Descriptor to wait for in the event loop (`untilReadable`); when it is readable, call
	 * {@link unsolicited}.
	 */
	get fd(): number {
		return this.#fd;
	}

	/** Waits until {@link unsolicited} has a message. Returns false if there is none after `timeoutMs`. */
	waitForUnsolicited(timeoutMs: number, doing: string): boolean {
		const deadline = monotonicMs() + timeoutMs;
		const pollfd = POLLFD.encode({ fd: this.#fd, events: POLLIN });
		for (;;) {
			const result = poll(pollfd, 1, Math.max(0, Math.ceil(deadline - monotonicMs())));
			if (result !== -ERRNO.EINTR) return check(result, doing) > 0;
		}
	}

	/**
	 * The messages of one datagram that the kernel sent without a request; undefined if none is pending.
	 * Throws SyscallError (ENOBUFS) once after some were lost.
	 */
	unsolicited(doing: string): readonly UnsolicitedMessage[] | undefined {
		const nothing = new Uint8Array(1);
		const length = recv(this.#fd, nothing, 1, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
		if (length === -ERRNO.EAGAIN) return undefined;
		const bytes = new Uint8Array(check(length, doing));
		check(recv(this.#fd, bytes, bytes.length, MSG_DONTWAIT), doing);
		return parseMessages(bytes, doing);
	}

	/**
	 * The most bytes that the kernel may queue for {@link unsolicited}. Can exceed sysctl net.core.rmem_max,
	 * except in a user namespace other than the initial one.
	 */
	holdAtMost(bytes: number): void {
		enlargeBuffer(this.#fd, "receive", bytes);
	}

	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}

	#exchange(request: NetlinkRequest, flags: number): readonly NetlinkMessage[] {
		const { doing } = request;
		const seq = ++this.#seq;
		const bytes = encodeMessage(request, flags, seq);
		check(send(this.#fd, bytes, bytes.length, 0), doing);
		const messages: NetlinkMessage[] = [];
		let interrupted = false;
		for (;;) {
			for (const message of parseMessages(this.#receive(doing), doing)) {
				if (message.seq !== seq) continue; // the rest of an answer that an earlier request did not read
				if (message.type === NLMSG_ERROR) {
					const failure = decodeFailure(message, doing);
					if (failure !== undefined) throw failure;
					return messages;
				}
				// Objects that changed during the dump may be missing or appear twice: dump again after the
				// end.
				interrupted ||= (message.flags & NLM_F_DUMP_INTR) !== 0;
				if (message.type === NLMSG_DONE) {
					const { value } = INT.decode(message.payload);
					if (value < 0) throw new SyscallError(doing, -value);
					return interrupted ? this.#exchange(request, flags) : messages;
				}
				messages.push(message);
				if ((message.flags & NLM_F_MULTI) === 0 && (flags & NLM_F.ACK) === 0) return messages;
			}
		}
	}

	/**
	 * Receives one datagram. In a dump, the kernel fills each one up to the size of the receiver's buffer, at
	 * most 32 KiB.
	 */
	#receive(doing: string): Uint8Array {
		room ??= new Uint8Array(ROOM_BYTES);
		const length = check(recv(this.#fd, room, room.length, MSG_TRUNC), doing);
		if (length > room.length) throw malformed(doing, `an answer of ${length} bytes`);
		return room.slice(0, length);
	}
}

function encodeMessage(request: NetlinkRequest, flags: number, seq: number): Uint8Array {
	const bytes = new Uint8Array(HEADER_BYTES + request.payload.length);
	putMessage(bytes, new DataView(bytes.buffer), 0, request, flags, seq);
	return bytes;
}

/** The kernel refused one of several changes, or all of them together. */
export class NetlinkRefusal extends SyscallError {
	/** Index of the refused change in the list; absent if no single change was refused. */
	readonly request?: number;
	/** Offset in that request's payload of the attribute that the kernel rejects, if it reports one. */
	readonly attributeOffset?: number;

	constructor(
		cause: SyscallError,
		doing: string,
		at: { readonly request?: number; readonly attributeOffset?: number },
	) {
		super(doing, cause.errno, cause.explanation);
		if (at.request !== undefined) this.request = at.request;
		if (at.attributeOffset !== undefined) this.attributeOffset = at.attributeOffset;
	}
}

function refusalOf(
	message: NetlinkMessage,
	doing: string,
	request: number | undefined,
): NetlinkRefusal | undefined {
	const failure = decodeFailure(message, doing);
	if (failure === undefined) return undefined;
	const offset = u32Attribute(extendedAck(message), NLMSGERR_ATTR_OFFS);
	return new NetlinkRefusal(failure, doing, {
		...(request === undefined ? {} : { request }),
		...(offset === undefined ? {} : { attributeOffset: offset - HEADER_BYTES }),
	});
}

interface SequencedMessage extends UnsolicitedMessage {
	readonly seq: number;
}

/** Splits a datagram into its messages. Throws LinuxError (SYSCALL) for invalid lengths. */
export function parseMessages(datagram: Uint8Array, doing: string): readonly SequencedMessage[] {
	const messages: SequencedMessage[] = [];
	const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
	for (let at = 0; at + HEADER_BYTES <= datagram.length; ) {
		const len = messageLength(view, at);
		if (len < HEADER_BYTES || at + len > datagram.length) throw malformed(doing, `a message of ${len} bytes`);
		messages.push({
			type: view.getUint16(at + HEADER.type, true),
			flags: view.getUint16(at + HEADER.flags, true),
			seq: view.getUint32(at + HEADER.seq, true),
			port: view.getUint32(at + HEADER.port, true),
			payload: datagram.subarray(at + HEADER_BYTES, at + len),
		});
		at += paddedLength(len);
	}
	return messages;
}

/**
 * The error of an NLMSG_ERROR message, with the kernel's own message if it sent one; undefined for an
 * acknowledgement.
 */
export function decodeFailure(message: NetlinkMessage, doing: string): SyscallError | undefined {
	const { value } = INT.decode(message.payload);
	if (value === 0) return undefined;
	const said = explanation(message);
	return said === undefined ? new SyscallError(doing, -value) : new SyscallError(doing, -value, said);
}

function explanation(message: NetlinkMessage): string | undefined {
	return textAttribute(extendedAck(message), NLMSGERR_ATTR_MSG);
}

/** The attributes that the kernel adds to a refusal; empty if there are none, or if they cannot be read. */
function extendedAck({ flags, payload }: NetlinkMessage): Attributes {
	if ((flags & NLM_F_ACK_TLVS) === 0) return new Map();
	// struct nlmsgerr: the error, the request's header and, unless capped, the whole request.
	if (payload.length < INT.size + HEADER_BYTES) return new Map();
	const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
	const echoed = (flags & NLM_F_CAPPED) === 0 ? messageLength(view, INT.size) : HEADER_BYTES;
	try {
		return decodeAttributes(payload.subarray(INT.size + paddedLength(echoed)));
	} catch {
		return new Map(); // an explanation that cannot be read must not hide the error that it explains
	}
}

/** Only if the send buffer could not be enlarged. */
function tooLong(doing: string, bytes: number): LinuxError {
	return new LinuxError("SYSCALL", `${doing}: ${bytes} bytes at once exceed what a socket may send here`, {
		hint: `raise the limit on the host, outside this user namespace: sysctl -w net.core.wmem_max=${bytes}`,
	});
}

function malformed(doing: string, what: string): LinuxError {
	return new LinuxError("SYSCALL", `${doing}: the kernel sent ${what}`);
}
