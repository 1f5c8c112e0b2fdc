/**
 * AF_PACKET sockets (packet(7)): whole frames in and out of one interface, for captures, for `probe` and for
 * injecting test packets.
 *
 * Calls block the thread at most for their time limit. Only a large receive buffer prevents losing frames
 * between two calls.
 */

import { closeSync } from "node:fs";
import { monotonicMs } from "./clock.ts";
import { ERRNO } from "./errno.ts";
import { Layout } from "./layout.ts";
import { addressOf, check, libcFunction, SyscallError } from "./libc.ts";
import {
	AF_PACKET,
	bind,
	enlargeBuffer,
	ioctl,
	MSG_DONTWAIT,
	MSG_TRUNC,
	OPTION_INT,
	POLLFD,
	POLLIN,
	POLLOUT,
	poll,
	recvmsg,
	SO_TIMESTAMPNS,
	SOCK_CLOEXEC,
	SOCK_RAW,
	SOCKADDR_LL,
	SOL_SOCKET,
	setsockopt,
	socket,
} from "./socket.ts";

const SIOCGIFINDEX = 0x8933;

const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
const PACKET_AUXDATA = 8;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;

/** include/uapi/linux/if_packet.h: bits of tp_status. */
const TP_STATUS_CSUMNOTREADY = 1 << 3;
const TP_STATUS_VLAN_VALID = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID = 1 << 6;
const TP_STATUS_CSUM_VALID = 1 << 7;

/** include/uapi/linux/virtio_net.h */
const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;

export const IOVEC = new Layout({ base: "pointer", length: "u64" });
const MSGHDR_FIELDS = {
	name: "pointer",
	namelen: "u32",
	iov: "pointer",
	iovlen: "u64",
	control: "pointer",
	controllen: "u64",
	flags: "u32",
} as const;
export const MSGHDR = new Layout(MSGHDR_FIELDS);
const MMSGHDR = new Layout({ ...MSGHDR_FIELDS, _pad: "u32", sent: "u32", _pad2: "u32" });
const CMSGHDR = new Layout({ length: "u64", level: "s32", type: "s32" });
const AUXDATA = new Layout({
	status: "u32",
	length: "u32",
	snaplen: "u32",
	mac: "u16",
	net: "u16",
	vlanTci: "u16",
	vlanTpid: "u16",
});
const VNET_HDR = new Layout({
	flags: "u8",
	gsoType: "u8",
	headerLength: "u16",
	gsoSize: "u16",
	csumStart: "u16",
	csumOffset: "u16",
});
const IFREQ = new Layout({ name: { text: 16 }, ifindex: "s32", _rest: { bytes: 20 } });
const STATISTICS = new Layout({ packets: "u32", drops: "u32", freezes: "u32" });
const TIMESPEC = new Layout({ seconds: "u64", nanoseconds: "u64" });

/** All protocols (include/uapi/linux/if_ether.h). */
const ETH_P_ALL = 0x0003;
const ETH_P_8021Q = 0x8100;
/** After two MAC addresses: where a VLAN tag is put back. */
const VLAN_TAG_OFFSET = 12;

const LARGEST_FRAME = 0x40000;
const CONTROL_BYTES = 128;

const PACKET_TYPES = ["host", "broadcast", "multicast", "otherhost", "outgoing"] as const;
export type PacketType = (typeof PACKET_TYPES)[number];

type Memory = Uint8Array;
const getsockopt = libcFunction<[number, number, number, Memory, Memory]>(
	"int getsockopt(int fd, int level, int name, void *value, void *length)",
);
const sendmmsg = libcFunction<[number, Memory, number, number]>(
	"int sendmmsg(int fd, void *messages, unsigned int count, int flags)",
);

/** A checksum that the interface (or the receiver of the frame) must complete: CHECKSUM_PARTIAL. */
export interface PendingChecksum {
	/** Offset in the frame at which the sum starts: the transport header. */
	readonly startBytes: number;
	/** Offset of the checksum field from there; the field holds the pseudo-header's sum, not complemented. */
	readonly offsetBytes: number;
}

export interface OutgoingFrame {
	/** From the link-layer header on, or the network header on devices without one. */
	readonly bytes: Uint8Array;
	/** Only on sockets opened with `offloads`. */
	readonly pendingChecksum?: PendingChecksum;
}

export interface IncomingFrame {
	/** As on the wire: a VLAN tag that the kernel had removed is back in its place. */
	readonly bytes: Uint8Array;
	/** Length of the frame, larger than `bytes.length` if it did not fit (256 KiB). */
	readonly lengthBytes: number;
	readonly packetType: PacketType;
	readonly etherType: number;
	readonly ifindex: number;
	/**
	 * "pending": left to the interface to complete (CHECKSUM_PARTIAL); "valid": verified by the interface or
	 * the stack.
	 */
	readonly checksum: "pending" | "valid" | "unknown";
	/**
	 * Segment size of a frame that was merged or is not yet split (GRO, GSO); only on sockets opened with
	 * `offloads`.
	 */
	readonly segmentBytes?: number;
	/** Nanoseconds since 1970; only on sockets opened with `timestamps`. */
	readonly timestampNs?: bigint;
}

export interface PacketSocketOptions {
	/** Name of the interface, in the network namespace of the calling thread. */
	readonly interfaceName: string;
	/** EtherType to receive; default all. 0 receives nothing: for a socket that only sends. */
	readonly etherType?: number;
	/** Default 8 MiB; at most net.core.rmem_max without CAP_NET_ADMIN. The socket itself needs CAP_NET_RAW. */
	readonly receiveBufferBytes?: number;
	/** Skip packets that this host sends; default false. */
	readonly ignoreOutgoing?: boolean;
	readonly timestamps?: boolean;
	/** Send and receive frames with their offload state (PACKET_VNET_HDR). */
	readonly offloads?: boolean;
}

/** A raw socket on one interface. `using socket = new PacketSocket({ interfaceName: "eth0" })`. */
export class PacketSocket implements Disposable {
	readonly ifindex: number;
	readonly interfaceName: string;
	readonly #offloads: boolean;
	#fd: number;
	/** Memory that recvmsg fills; the message header points to the other three. */
	readonly #frame = new Uint8Array(LARGEST_FRAME);
	readonly #address = new Uint8Array(SOCKADDR_LL.size);
	readonly #control = new Uint8Array(CONTROL_BYTES);
	readonly #iovec: Uint8Array;
	readonly #message = new Uint8Array(MSGHDR.size);
	/** The header before each call: recvmsg overwrites its lengths. */
	readonly #emptyMessage: Uint8Array;

	/** Throws SyscallError: EPERM without CAP_NET_RAW, ENODEV for an interface that does not exist. */
	constructor(options: PacketSocketOptions) {
		const { interfaceName } = options;
		const doing = `open a packet socket on ${interfaceName}`;
		this.interfaceName = interfaceName;
		this.#offloads = options.offloads ?? false;
		// Protocol 0 until bound: otherwise frames of other interfaces arrive between the two calls.
		this.#fd = check(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), doing);
		try {
			this.ifindex = interfaceIndex(this.#fd, interfaceName, doing);
			enlargeBuffer(this.#fd, "receive", options.receiveBufferBytes ?? 8 << 20);
			this.#set(SOL_PACKET, PACKET_AUXDATA, 1, doing);
			if (options.ignoreOutgoing) this.#set(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, doing);
			if (options.timestamps) this.#set(SOL_SOCKET, SO_TIMESTAMPNS, 1, doing);
			if (this.#offloads) this.#set(SOL_PACKET, PACKET_VNET_HDR, 1, doing);
			const address = SOCKADDR_LL.encode({
				family: AF_PACKET,
				protocol: options.etherType ?? ETH_P_ALL,
				ifindex: this.ifindex,
			});
			check(bind(this.#fd, address, address.length), doing);
		} catch (error) {
			closeSync(this.#fd);
			throw error;
		}
		this.#iovec = IOVEC.encode({ base: this.#frame, length: this.#frame.length });
		this.#emptyMessage = MSGHDR.encode({
			name: this.#address,
			namelen: this.#address.length,
			iov: this.#iovec,
			iovlen: 1,
			control: this.#control,
			controllen: this.#control.length,
		});
	}

	#set(level: number, name: number, value: number, doing: string): void {
		const memory = OPTION_INT.encode({ value });
		check(setsockopt(this.#fd, level, name, memory, memory.length), doing);
	}

	/**
	 * Sends frames in order, unchanged. Throws SyscallError; the frames before the refused one have been
	 * sent.
	 */
	send(frames: readonly (OutgoingFrame | Uint8Array)[]): void {
		const doing = `send on ${this.interfaceName}`;
		const bodies = frames.map((frame) => this.#withOffloadHeader(frame));
		// One buffer for everything, because the call's argument keeps only that one alive.
		const iovecsAt = bodies.length * MMSGHDR.size;
		const bodiesAt = iovecsAt + bodies.length * IOVEC.size;
		const memory = new Uint8Array(bodies.reduce((end, body) => end + body.length, bodiesAt));
		const start = addressOf(memory);
		let bodyAt = bodiesAt;
		for (const [i, body] of bodies.entries()) {
			const iovecAt = iovecsAt + i * IOVEC.size;
			memory.set(body, bodyAt);
			memory.set(IOVEC.encode({ base: start + BigInt(bodyAt), length: body.length }), iovecAt);
			memory.set(MMSGHDR.encode({ iov: start + BigInt(iovecAt), iovlen: 1 }), i * MMSGHDR.size);
			bodyAt += body.length;
		}
		let sent = 0;
		while (sent < bodies.length) {
			const rest = memory.subarray(sent * MMSGHDR.size);
			const result = sendmmsg(this.#fd, rest, bodies.length - sent, MSG_DONTWAIT);
			// A full send buffer or device queue drains by itself; if it is still full after a second, it
			// never will.
			const full = result === -ERRNO.EAGAIN || result === -ERRNO.ENOBUFS;
			if (full && this.#wait(POLLOUT, 1000)) continue;
			if (result !== -ERRNO.EINTR) sent += check(result, doing);
		}
	}

	#withOffloadHeader(frame: OutgoingFrame | Uint8Array): Uint8Array {
		const { bytes, pendingChecksum } = frame instanceof Uint8Array ? { bytes: frame } : frame;
		if (!this.#offloads) {
			if (pendingChecksum === undefined) return bytes;
			throw new RangeError("a pending checksum can be sent only on a socket opened with offloads");
		}
		const header = VNET_HDR.encode(
			pendingChecksum === undefined
				? {}
				: {
						flags: VIRTIO_NET_HDR_F_NEEDS_CSUM,
						csumStart: pendingChecksum.startBytes,
						csumOffset: pendingChecksum.offsetBytes,
					},
		);
		return Buffer.concat([header, bytes]);
	}

	/** The next frame; undefined if none has arrived after `timeoutMs` (0: do not wait). */
	receive(timeoutMs = 0): IncomingFrame | undefined {
		const frame = this.#receiveNow();
		if (frame !== undefined || timeoutMs <= 0) return frame;
		return this.#wait(POLLIN, timeoutMs) ? this.#receiveNow() : undefined;
	}

	/**
	 * The number of frames that the kernel dropped since the last call because the receive buffer was full.
	 */
	takeDropped(): number {
		const statistics = new Uint8Array(STATISTICS.size);
		check(
			getsockopt(
				this.#fd,
				SOL_PACKET,
				PACKET_STATISTICS,
				statistics,
				OPTION_INT.encode({ value: STATISTICS.size }),
			),
			`read the statistics of the packet socket on ${this.interfaceName}`,
		);
		return STATISTICS.decode(statistics).drops;
	}

	/** Returns false if the event has not happened after `timeoutMs`. */
	#wait(event: number, timeoutMs: number): boolean {
		const deadline = monotonicMs() + timeoutMs;
		const pollfd = POLLFD.encode({ fd: this.#fd, events: event });
		for (;;) {
			const left = Math.max(0, Math.ceil(deadline - monotonicMs()));
			const result = poll(pollfd, 1, left);
			if (result > 0) return true;
			if (result === 0) return false;
			if (result !== -ERRNO.EINTR) check(result, `wait for ${this.interfaceName}`);
		}
	}

	#receiveNow(): IncomingFrame | undefined {
		this.#message.set(this.#emptyMessage);
		let result: number;
		do {
			result = recvmsg(this.#fd, this.#message, MSG_DONTWAIT | MSG_TRUNC);
		} while (result === -ERRNO.EINTR);
		if (result === -ERRNO.EAGAIN) return undefined;
		if (result < 0) throw new SyscallError(`receive on ${this.interfaceName}`, -result);
		return this.#decode(result);
	}

	#decode(length: number): IncomingFrame {
		const skip = this.#offloads ? VNET_HDR.size : 0;
		const address = SOCKADDR_LL.decode(this.#address);
		let bytes: Uint8Array = this.#frame.slice(skip, Math.min(length, this.#frame.length));
		let lengthBytes = length - skip;
		let checksum: IncomingFrame["checksum"] = "unknown";
		let timestampNs: bigint | undefined;
		const control = this.#control.subarray(0, Number(MSGHDR.decode(this.#message).controllen));
		for (const { level, type, data } of controlMessages(control)) {
			if (level === SOL_PACKET && type === PACKET_AUXDATA) {
				const { status, vlanTci, vlanTpid } = AUXDATA.decode(data);
				if ((status & TP_STATUS_CSUM_VALID) !== 0) checksum = "valid";
				if ((status & TP_STATUS_CSUMNOTREADY) !== 0) checksum = "pending";
				if ((status & TP_STATUS_VLAN_VALID) !== 0) {
					const tpid = (status & TP_STATUS_VLAN_TPID_VALID) !== 0 ? vlanTpid : ETH_P_8021Q;
					bytes = withVlanTag(bytes, tpid, vlanTci);
					lengthBytes += 4;
				}
			} else if (level === SOL_SOCKET && type === SO_TIMESTAMPNS) {
				const { seconds, nanoseconds } = TIMESPEC.decode(data);
				timestampNs = seconds * 1_000_000_000n + nanoseconds;
			}
		}
		const { gsoType, gsoSize } = VNET_HDR.decode(this.#frame);
		return {
			bytes,
			lengthBytes,
			packetType: PACKET_TYPES[address.pkttype] ?? "host",
			etherType: address.protocol,
			ifindex: address.ifindex,
			checksum,
			...(this.#offloads && gsoType !== 0 ? { segmentBytes: gsoSize } : {}),
			...(timestampNs === undefined ? {} : { timestampNs }),
		};
	}

	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}
}

function interfaceIndex(fd: number, name: string, doing: string): number {
	if (Buffer.byteLength(name) > 15) throw new SyscallError(doing, ERRNO.ENODEV);
	const request = IFREQ.encode({ name });
	check(ioctl(fd, SIOCGIFINDEX, request), doing);
	return IFREQ.decode(request).ifindex;
}

/** The control messages of a received message (cmsg(3)); each starts at a multiple of 8. */
export function* controlMessages(
	control: Uint8Array,
): Generator<{ readonly level: number; readonly type: number; readonly data: Uint8Array }> {
	let offset = 0;
	while (offset + CMSGHDR.size <= control.length) {
		const { length, level, type } = CMSGHDR.decode(control.subarray(offset));
		const end = offset + Number(length);
		if (length < CMSGHDR.size || end > control.length) return;
		yield { level, type, data: control.subarray(offset + CMSGHDR.size, end) };
		offset = (end + 7) & ~7;
	}
}

function withVlanTag(bytes: Uint8Array, tpid: number, tci: number): Uint8Array {
	const tag = Uint8Array.of(tpid >> 8, tpid & 0xff, tci >> 8, tci & 0xff);
	return Uint8Array.from([...bytes.subarray(0, VLAN_TAG_OFFSET), ...tag, ...bytes.subarray(VLAN_TAG_OFFSET)]);
}
