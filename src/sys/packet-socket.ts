/**
 * AF_PACKET sockets (packet(7)): whole frames in and out of one interface, for captures, for `probe` and for
 * injecting test packets.
 *
 * Calls block the thread at most as long as they are told to. A receive buffer that is large enough is what
 * keeps frames from being lost between two calls.
 */
import { closeSync } from "node:fs";
import { endianness } from "node:os";
import { ERRNO } from "./errno.ts";
import { addressOf, check, libcFunction, SyscallError } from "./libc.ts";

const LITTLE = endianness() === "LE";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SIOCGIFINDEX = 0x8933;

const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SO_TIMESTAMPNS = 35;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
const PACKET_AUXDATA = 8;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;

const MSG_DONTWAIT = 0x40;
const MSG_TRUNC = 0x20;
const POLLIN = 0x001;
const POLLOUT = 0x004;

/** include/uapi/linux/if_packet.h: bits of tp_status. */
const TP_STATUS_CSUMNOTREADY = 1 << 3;
const TP_STATUS_VLAN_VALID = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID = 1 << 6;
const TP_STATUS_CSUM_VALID = 1 << 7;

/** include/uapi/linux/virtio_net.h */
const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;

/** Layouts of 64-bit Linux: offset of each field that is used, and the size of the whole. */
const SOCKADDR_LL = { family: 0, protocol: 2, ifindex: 4, hatype: 8, pkttype: 10, size: 20 } as const;
const MSGHDR = { name: 0, namelen: 8, iov: 16, iovlen: 24, control: 32, controllen: 40, size: 56 } as const;
const MMSGHDR = { size: 64 } as const;
const IOVEC = { base: 0, length: 8, size: 16 } as const;
const CMSGHDR = { length: 0, level: 8, type: 12, size: 16 } as const;
const AUXDATA = { status: 0, length: 4, vlanTci: 16, vlanTpid: 18 } as const;
const VNET_HDR = { flags: 0, gsoType: 1, gsoSize: 4, csumStart: 6, csumOffset: 8, size: 10 } as const;
const IFREQ = { name: 0, ifindex: 16, size: 40 } as const;

/** Of all protocols (include/uapi/linux/if_ether.h). */
export const ETH_P_ALL = 0x0003;
const ETH_P_8021Q = 0x8100;
/** Two MAC addresses: where a VLAN tag goes back in. */
const VLAN_TAG_OFFSET = 12;

const LARGEST_FRAME = 0x40000;
const CONTROL_BYTES = 128;

const PACKET_TYPES = ["host", "broadcast", "multicast", "otherhost", "outgoing"] as const;
export type PacketType = (typeof PACKET_TYPES)[number];

type Memory = Uint8Array;
const socket = libcFunction<[number, number, number]>("int socket(int domain, int type, int protocol)");
const bind = libcFunction<[number, Memory, number]>("int bind(int fd, void *address, unsigned int length)");
const ioctl = libcFunction<[number, number, Memory]>("int ioctl(int fd, unsigned long request, void *data)");
const setsockopt = libcFunction<[number, number, number, Memory, number]>(
	"int setsockopt(int fd, int level, int name, void *value, unsigned int length)",
);
const getsockopt = libcFunction<[number, number, number, Memory, Memory]>(
	"int getsockopt(int fd, int level, int name, void *value, void *length)",
);
const poll = libcFunction<[Memory, number, number]>("int poll(void *fds, unsigned long count, int timeout)");
const recvmsg = libcFunction<[number, Memory, number]>("long recvmsg(int fd, void *message, int flags)");
const sendmmsg = libcFunction<[number, Memory, number, number]>(
	"int sendmmsg(int fd, void *messages, unsigned int count, int flags)",
);

/** A checksum that the interface (or whoever receives the frame) is to complete: CHECKSUM_PARTIAL. */
export interface PendingChecksum {
	/** Offset in the frame at which the sum begins: the transport header. */
	readonly startBytes: number;
	/** Offset of the checksum field from there; the field holds the pseudo-header's sum, not complemented. */
	readonly offsetBytes: number;
}

export interface OutgoingFrame {
	/** From the link-layer header on; on devices that have none, from the network header on. */
	readonly bytes: Uint8Array;
	/** Only on sockets opened with `offloads`. */
	readonly pendingChecksum?: PendingChecksum;
}

export interface IncomingFrame {
	/** As on the wire: a VLAN tag that the kernel had put aside is back in its place. */
	readonly bytes: Uint8Array;
	/** Of the frame, larger than `bytes.length` when it did not fit (256 KiB). */
	readonly lengthBytes: number;
	readonly packetType: PacketType;
	readonly etherType: number;
	readonly ifindex: number;
	/** "pending": left to the interface to complete (CHECKSUM_PARTIAL); "valid": verified by it or by the stack. */
	readonly checksum: "pending" | "valid" | "unknown";
	/** Segment size of a frame merged or not yet split (GRO, GSO); known on sockets opened with `offloads`. */
	readonly segmentBytes?: number;
	/** Nanoseconds since 1970; on sockets opened with `timestamps`. */
	readonly timestampNs?: bigint;
}

export interface PacketSocketOptions {
	/** Name of the interface, in the network namespace of the calling thread. */
	readonly interfaceName: string;
	/** EtherType to receive; default all. 0 receives nothing: for a socket that only sends. */
	readonly etherType?: number;
	/** Default 8 MiB; needs CAP_NET_ADMIN, as the socket itself needs CAP_NET_RAW. */
	readonly receiveBufferBytes?: number;
	/** Leave out what this host sends; default false. */
	readonly ignoreOutgoing?: boolean;
	readonly timestamps?: boolean;
	/** Send and see frames with their offload state (PACKET_VNET_HDR). */
	readonly offloads?: boolean;
}

/** A raw socket on one interface. `using socket = new PacketSocket({ interfaceName: "eth0" })`. */
export class PacketSocket implements Disposable {
	readonly ifindex: number;
	readonly interfaceName: string;
	readonly #offloads: boolean;
	#fd: number;
	/** Memory that recvmsg fills; the message header points into the other three. */
	readonly #frame = Buffer.alloc(LARGEST_FRAME);
	readonly #address = Buffer.alloc(SOCKADDR_LL.size);
	readonly #control = Buffer.alloc(CONTROL_BYTES);
	readonly #iovec = Buffer.alloc(IOVEC.size);
	readonly #message = Buffer.alloc(MSGHDR.size);

	/** Throws SyscallError: EPERM without CAP_NET_RAW, ENODEV for an interface that does not exist. */
	constructor(options: PacketSocketOptions) {
		const { interfaceName } = options;
		const doing = `open a packet socket on ${interfaceName}`;
		this.interfaceName = interfaceName;
		this.#offloads = options.offloads ?? false;
		// Protocol 0 until bound: otherwise frames of other interfaces get in between the two calls.
		this.#fd = check(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), doing);
		try {
			this.ifindex = interfaceIndex(this.#fd, interfaceName, doing);
			this.#set(SOL_SOCKET, SO_RCVBUFFORCE, options.receiveBufferBytes ?? 8 << 20, doing);
			this.#set(SOL_PACKET, PACKET_AUXDATA, 1, doing);
			if (options.ignoreOutgoing) this.#set(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, doing);
			if (options.timestamps) this.#set(SOL_SOCKET, SO_TIMESTAMPNS, 1, doing);
			if (this.#offloads) this.#set(SOL_PACKET, PACKET_VNET_HDR, 1, doing);
			const address = Buffer.alloc(SOCKADDR_LL.size);
			putU16(address, SOCKADDR_LL.family, AF_PACKET);
			address.writeUInt16BE(options.etherType ?? ETH_P_ALL, SOCKADDR_LL.protocol);
			putU32(address, SOCKADDR_LL.ifindex, this.ifindex);
			check(bind(this.#fd, address, address.length), doing);
		} catch (error) {
			closeSync(this.#fd);
			throw error;
		}
		putU64(this.#iovec, IOVEC.base, addressOf(this.#frame));
		putU64(this.#iovec, IOVEC.length, BigInt(this.#frame.length));
	}

	#set(level: number, name: number, value: number, doing: string): void {
		const memory = Buffer.alloc(4);
		putU32(memory, 0, value);
		check(setsockopt(this.#fd, level, name, memory, memory.length), doing);
	}

	/** Sends frames in order, each as it is. Throws SyscallError; frames before the one refused are out. */
	send(frames: readonly (OutgoingFrame | Uint8Array)[]): void {
		const doing = `send on ${this.interfaceName}`;
		const bodies = frames.map((frame) => this.#withOffloadHeader(frame));
		const iovecs = Buffer.alloc(IOVEC.size * bodies.length);
		const messages = Buffer.alloc(MMSGHDR.size * bodies.length);
		for (const [i, body] of bodies.entries()) {
			const iovec = iovecs.subarray(i * IOVEC.size);
			putU64(iovec, IOVEC.base, addressOf(body));
			putU64(iovec, IOVEC.length, BigInt(body.length));
			putU64(messages, i * MMSGHDR.size + MSGHDR.iov, addressOf(iovec));
			putU64(messages, i * MMSGHDR.size + MSGHDR.iovlen, 1n);
		}
		let sent = 0;
		while (sent < bodies.length) {
			const rest = messages.subarray(sent * MMSGHDR.size);
			const result = sendmmsg(this.#fd, rest, bodies.length - sent, MSG_DONTWAIT);
			// A full send buffer or device queue drains by itself; one that does not in a second never will.
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
		const header = Buffer.alloc(VNET_HDR.size);
		if (pendingChecksum !== undefined) {
			header[VNET_HDR.flags] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
			putU16(header, VNET_HDR.csumStart, pendingChecksum.startBytes);
			putU16(header, VNET_HDR.csumOffset, pendingChecksum.offsetBytes);
		}
		return Buffer.concat([header, bytes]);
	}

	/** The next frame, or undefined when none has come after `timeoutMs` (0: do not wait). */
	receive(timeoutMs = 0): IncomingFrame | undefined {
		const frame = this.#receiveNow();
		if (frame !== undefined || timeoutMs <= 0) return frame;
		return this.#wait(POLLIN, timeoutMs) ? this.#receiveNow() : undefined;
	}

	/** Frames that the kernel had to throw away because the receive buffer was full, since the last call. */
	takeDropped(): number {
		const statistics = Buffer.alloc(12);
		const length = Buffer.alloc(4);
		putU32(length, 0, statistics.length);
		check(
			getsockopt(this.#fd, SOL_PACKET, PACKET_STATISTICS, statistics, length),
			`read the statistics of the packet socket on ${this.interfaceName}`,
		);
		return getU32(statistics, 4);
	}

	/** False after `timeoutMs` without the event. */
	#wait(event: number, timeoutMs: number): boolean {
		const deadline = performance.now() + timeoutMs;
		const pollfd = Buffer.alloc(8);
		putU32(pollfd, 0, this.#fd);
		putU16(pollfd, 4, event);
		for (;;) {
			const left = Math.max(0, Math.ceil(deadline - performance.now()));
			const result = poll(pollfd, 1, left);
			if (result > 0) return true;
			if (result === 0) return false;
			if (result !== -ERRNO.EINTR) check(result, `wait for ${this.interfaceName}`);
		}
	}

	#receiveNow(): IncomingFrame | undefined {
		const message = this.#message;
		putU64(message, MSGHDR.name, addressOf(this.#address));
		putU32(message, MSGHDR.namelen, this.#address.length);
		putU64(message, MSGHDR.iov, addressOf(this.#iovec));
		putU64(message, MSGHDR.iovlen, 1n);
		putU64(message, MSGHDR.control, addressOf(this.#control));
		putU64(message, MSGHDR.controllen, BigInt(this.#control.length));
		let result: number;
		do {
			result = recvmsg(this.#fd, message, MSG_DONTWAIT | MSG_TRUNC);
		} while (result === -ERRNO.EINTR);
		if (result === -ERRNO.EAGAIN) return undefined;
		if (result < 0) throw new SyscallError(`receive on ${this.interfaceName}`, -result);
		return this.#decode(result);
	}

	#decode(length: number): IncomingFrame {
		const skip = this.#offloads ? VNET_HDR.size : 0;
		let bytes: Uint8Array = Uint8Array.from(this.#frame.subarray(skip, Math.min(length, this.#frame.length)));
		let lengthBytes = length - skip;
		let checksum: IncomingFrame["checksum"] = "unknown";
		let timestampNs: bigint | undefined;
		for (const { level, type, data } of controlMessages(this.#control, this.#message)) {
			if (level === SOL_PACKET && type === PACKET_AUXDATA) {
				const status = getU32(data, AUXDATA.status);
				if ((status & TP_STATUS_CSUM_VALID) !== 0) checksum = "valid";
				if ((status & TP_STATUS_CSUMNOTREADY) !== 0) checksum = "pending";
				if ((status & TP_STATUS_VLAN_VALID) !== 0) {
					const tpid =
						(status & TP_STATUS_VLAN_TPID_VALID) !== 0 ? getU16(data, AUXDATA.vlanTpid) : ETH_P_8021Q;
					bytes = withVlanTag(bytes, tpid, getU16(data, AUXDATA.vlanTci));
					lengthBytes += 4;
				}
			} else if (level === SOL_SOCKET && type === SO_TIMESTAMPNS) {
				timestampNs = getU64(data, 0) * 1_000_000_000n + getU64(data, 8);
			}
		}
		const gso = this.#offloads && this.#frame[VNET_HDR.gsoType] !== 0;
		return {
			bytes,
			lengthBytes,
			packetType: PACKET_TYPES[this.#address[SOCKADDR_LL.pkttype] ?? 0] ?? "host",
			etherType: this.#address.readUInt16BE(SOCKADDR_LL.protocol),
			ifindex: getU32(this.#address, SOCKADDR_LL.ifindex),
			checksum,
			...(gso ? { segmentBytes: getU16(this.#frame, VNET_HDR.gsoSize) } : {}),
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
	const request = Buffer.alloc(IFREQ.size);
	if (Buffer.byteLength(name) > 15) throw new SyscallError(doing, ERRNO.ENODEV);
	request.write(name, IFREQ.name);
	check(ioctl(fd, SIOCGIFINDEX, request), doing);
	return getU32(request, IFREQ.ifindex);
}

/** The control messages of a received message (cmsg(3)); each begins at a multiple of 8. */
function* controlMessages(
	control: Buffer,
	message: Buffer,
): Generator<{ level: number; type: number; data: Buffer }> {
	const end = Number(getU64(message, MSGHDR.controllen));
	let offset = 0;
	while (offset + CMSGHDR.size <= end) {
		const length = Number(getU64(control, offset + CMSGHDR.length));
		if (length < CMSGHDR.size || offset + length > end) return;
		yield {
			level: getU32(control, offset + CMSGHDR.level),
			type: getU32(control, offset + CMSGHDR.type),
			data: control.subarray(offset + CMSGHDR.size, offset + length),
		};
		offset += (length + 7) & ~7;
	}
}

function withVlanTag(bytes: Uint8Array, tpid: number, tci: number): Uint8Array {
	const tag = Uint8Array.of(tpid >> 8, tpid & 0xff, tci >> 8, tci & 0xff);
	return Uint8Array.from([...bytes.subarray(0, VLAN_TAG_OFFSET), ...tag, ...bytes.subarray(VLAN_TAG_OFFSET)]);
}

// The kernel's structures are in the machine's byte order.
function putU16(memory: Buffer, offset: number, value: number): void {
	if (LITTLE) memory.writeUInt16LE(value, offset);
	else memory.writeUInt16BE(value, offset);
}

function putU32(memory: Buffer, offset: number, value: number): void {
	if (LITTLE) memory.writeUInt32LE(value, offset);
	else memory.writeUInt32BE(value, offset);
}

function putU64(memory: Buffer, offset: number, value: bigint): void {
	if (LITTLE) memory.writeBigUInt64LE(value, offset);
	else memory.writeBigUInt64BE(value, offset);
}

function getU16(memory: Buffer, offset: number): number {
	return LITTLE ? memory.readUInt16LE(offset) : memory.readUInt16BE(offset);
}

function getU32(memory: Buffer, offset: number): number {
	return LITTLE ? memory.readUInt32LE(offset) : memory.readUInt32BE(offset);
}

function getU64(memory: Buffer, offset: number): bigint {
	return LITTLE ? memory.readBigUInt64LE(offset) : memory.readBigUInt64BE(offset);
}
