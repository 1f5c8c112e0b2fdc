/**
 * Ordinary datagram sockets, UDP and ICMP echo, that mark the packets they send (ip(7), ipv6(7), icmp(7)).
 * They need no privilege. They are unconnected, so they receive answers from any address. ICMP errors arrive
 * in the error queue.
 *
 * Echo sockets are restricted to the groups in net.ipv4.ping_group_range.
 */
import { closeSync } from "node:fs";
import { ERRNO } from "./errno.ts";
import { Layout } from "./layout.ts";
import { addressOf, check } from "./libc.ts";
import { controlMessages, IOVEC, MSGHDR } from "./packet-socket.ts";
import {
	AF_INET,
	MSG_DONTWAIT,
	MSG_ERRQUEUE,
	OPTION_INT,
	recvmsg,
	SOCK_CLOEXEC,
	SOCK_DGRAM,
	sendto,
	setsockopt,
	socket,
} from "./socket.ts";
import { decodeSocketAddress, encodeSocketAddress, familyOfBytes, SOCKADDR_BYTES } from "./socket-address.ts";

const IPPROTO = { ipv4: { udp: 17, icmp: 1 }, ipv6: { udp: 17, icmp: 58 } } as const;

/**
 * include/uapi/linux/in.h, in6.h: the level, then the options for TOS, TTL, errors, and TOS of received
 * packets.
 */
const OPTIONS = {
	ipv4: { level: 0, tos: 1, ttl: 2, receiveErrors: 11, receiveTos: 13 },
	ipv6: { level: 41, tos: 67, ttl: 16, receiveErrors: 25, receiveTos: 66 },
} as const;

/**
 * include/uapi/linux/errqueue.h: struct sock_extended_err, followed by the address of the sender of the
 * error.
 */
const EXTENDED_ERROR = new Layout({
	errno: "u32",
	origin: "u8",
	type: "u8",
	code: "u8",
	_pad: "u8",
	info: "u32",
	data: "u32",
});
const ORIGINS_ON_THE_WIRE: readonly number[] = [2, 3]; // SO_EE_ORIGIN_ICMP, _ICMP6

const DATA_BYTES = 2048;
const CONTROL_BYTES = 256;

export type DatagramEvent =
	| {
			readonly kind: "datagram";
			readonly from: Uint8Array;
			/** 0 for an echo. */
			readonly port: number;
			readonly tos: number;
			/** The payload, up to 2,048 bytes. */
			readonly data: Uint8Array;
	  }
	| {
			readonly kind: "icmp-error";
			readonly from: Uint8Array;
			readonly type: number;
			readonly code: number;
			/** The destination of the packet that caused the error. */
			readonly about: Uint8Array;
	  };

interface Message {
	readonly name: Uint8Array;
	readonly control: Uint8Array;
	readonly data: Uint8Array;
}

/** A socket with its own port or echo identifier. */
export class DatagramSocket implements Disposable {
	readonly #options: (typeof OPTIONS)[keyof typeof OPTIONS];
	#fd: number;

	/**
	 * `like`: an address of the family, 4 or 16 bytes. Throws SyscallError: EACCES if this user may not use
	 * echo sockets.
	 */
	constructor(protocol: "udp" | "icmp", like: ArrayLike<number>, tos: number, ttl: number) {
		const family = familyOfBytes(like);
		const name = family === AF_INET ? "ipv4" : "ipv6";
		const doing = `open a socket for ${protocol}`;
		this.#options = OPTIONS[name];
		this.#fd = check(socket(family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO[name][protocol]), doing);
		const { level, receiveErrors, receiveTos } = this.#options;
		try {
			for (const [option, number] of [
				[this.#options.tos, tos],
				[this.#options.ttl, ttl],
				[receiveErrors, 1],
				[receiveTos, 1],
			] as const) {
				const value = OPTION_INT.encode({ value: number });
				check(setsockopt(this.#fd, level, option, value, value.length), doing);
			}
		} catch (error) {
			this[Symbol.dispose]();
			throw error;
		}
	}

	/**
	 * Descriptor to wait for (`untilReadable`): when it is readable, {@link take} returns an answer or an
	 * error.
	 */
	get fd(): number {
		return this.#fd;
	}

	/** Returns 0, or `-errno` if this host could not send. */
	send(data: Uint8Array, destination: ArrayLike<number>, port: number): number {
		const address = encodeSocketAddress(destination, port);
		return Math.min(0, sendto(this.#fd, data, data.length, MSG_DONTWAIT, address, address.length));
	}

	/** The next answer, else the next error; undefined if there is none. */
	take(): DatagramEvent | undefined {
		const answer = this.#receive(MSG_DONTWAIT);
		if (answer !== undefined) {
			const tos = this.#control(answer, this.#options.tos)?.[0] ?? 0;
			const { address, port } = decodeSocketAddress(answer.name);
			return { kind: "datagram", from: address, port, tos, data: answer.data };
		}
		const error = this.#receive(MSG_DONTWAIT | MSG_ERRQUEUE);
		const data = error === undefined ? undefined : this.#control(error, this.#options.receiveErrors);
		if (error === undefined || data === undefined) return undefined;
		const { origin, type, code } = EXTENDED_ERROR.decode(data);
		if (!ORIGINS_ON_THE_WIRE.includes(origin)) return undefined;
		const from = decodeSocketAddress(data.subarray(EXTENDED_ERROR.size)).address;
		return { kind: "icmp-error", from, type, code, about: decodeSocketAddress(error.name).address };
	}

	#receive(flags: number): Message | undefined {
		const name = new Uint8Array(SOCKADDR_BYTES);
		const control = new Uint8Array(CONTROL_BYTES);
		const data = new Uint8Array(DATA_BYTES);
		const iov = IOVEC.encode({ base: addressOf(data), length: data.length });
		const header = MSGHDR.encode({
			name,
			namelen: name.length,
			iov,
			iovlen: 1,
			control,
			controllen: control.length,
		});
		for (;;) {
			const result = recvmsg(this.#fd, header, flags);
			if (result === -ERRNO.EINTR) continue;
			if (result < 0) return undefined; // nothing there; a pending error is also in the error queue
			const { controllen } = MSGHDR.decode(header);
			return { name, control: control.subarray(0, Number(controllen)), data: data.subarray(0, result) };
		}
	}

	#control({ control }: Message, wanted: number): Uint8Array | undefined {
		for (const { level, type, data } of controlMessages(control)) {
			if (level === this.#options.level && type === wanted) return data;
		}
		return undefined;
	}

	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}
}
