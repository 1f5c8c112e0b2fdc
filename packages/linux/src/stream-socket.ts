/**
 * TCP connections that are marked from their SYN on (ip(7), ipv6(7)). The sockets of Node know their type of service only
 * when they are connected, and do not choose a port before.
 *
 * A socket is bound to an address of this host and to a port that the kernel chooses, connected without waiting, and can be
 * given to Node by its descriptor: `new net.Socket({ fd: socket.release() })`. Whoever closes it resets the connection, so
 * that neither side remembers it: ports would run out otherwise. What has been written and not yet been sent is lost then.
 */
import { closeSync } from "node:fs";
import { ERRNO } from "./errno.ts";
import { Layout } from "./layout.ts";
import { check } from "./libc.ts";
import {
	AF_INET,
	bind,
	connect,
	getsockopt,
	OPTION_INT,
	POLLFD,
	POLLOUT,
	poll,
	SO_ERROR,
	SO_LINGER,
	SOCK_CLOEXEC,
	SOCK_NONBLOCK,
	SOCK_STREAM,
	SOL_SOCKET,
	setsockopt,
	socket,
} from "./socket.ts";
import { encodeSocketAddress, familyOfBytes, nameOf } from "./socket-address.ts";

/** include/uapi/linux/in.h, in6.h: level and name of the option. */
const TYPE_OF_SERVICE = { ipv4: [0, 1], ipv6: [41, 67] } as const;
const LINGER = new Layout({ onoff: "u32", seconds: "u32" });

/** How a connection stands: under way, there, or failed (`errno`, such as ECONNREFUSED). */
export type Connecting =
	| { readonly state: "connecting" | "connected" }
	| { readonly state: "failed"; readonly errno: number };

export class StreamSocket implements Disposable {
	/** Of this host; no other socket is bound to it. */
	readonly port: number;
	#fd: number;

	/**
	 * `local`: 4 or 16 bytes of an address of this host. `tos`: the type of service or traffic class, ECN bits 0. Throws
	 * SyscallError: EADDRNOTAVAIL for an address that this host does not have.
	 */
	constructor(local: ArrayLike<number>, tos: number) {
		const doing = "open a TCP socket";
		const family = familyOfBytes(local);
		this.#fd = check(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), doing);
		try {
			const [level, name] = TYPE_OF_SERVICE[family === AF_INET ? "ipv4" : "ipv6"];
			const value = OPTION_INT.encode({ value: tos });
			check(setsockopt(this.#fd, level, name, value, value.length), doing);
			const linger = LINGER.encode({ onoff: 1, seconds: 0 });
			check(setsockopt(this.#fd, SOL_SOCKET, SO_LINGER, linger, linger.length), doing);
			const address = encodeSocketAddress(local, 0);
			check(bind(this.#fd, address, address.length), doing);
			this.port = nameOf(this.#fd, doing).port;
		} catch (error) {
			this[Symbol.dispose]();
			throw error;
		}
	}

	/** To wait for (`watchWritable`) until {@link state} has changed. */
	get fd(): number {
		return this.#fd;
	}

	/** Begins to connect. Gives 0, or `-errno` of why this host could not. Once. */
	connect(destination: ArrayLike<number>, port: number): number {
		const address = encodeSocketAddress(destination, port);
		const result = connect(this.#fd, address, address.length);
		return result === -ERRNO.EINPROGRESS ? 0 : result;
	}

	/** After a failure it can be asked once. */
	state(): Connecting {
		const wait = POLLFD.encode({ fd: this.#fd, events: POLLOUT });
		if (check(poll(wait, 1, 0), "look at a TCP socket") === 0) return { state: "connecting" };
		const value = new Uint8Array(OPTION_INT.size);
		const length = OPTION_INT.encode({ value: value.length });
		check(getsockopt(this.#fd, SOL_SOCKET, SO_ERROR, value, length), "look at a TCP socket");
		const { value: errno } = OPTION_INT.decode(value);
		return errno === 0 ? { state: "connected" } : { state: "failed", errno };
	}

	/** The descriptor, which is the caller's from here on. */
	release(): number {
		const fd = this.#fd;
		this.#fd = -1;
		return fd;
	}

	/** Ends the connection by a RST. Nothing after `release`. */
	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}
}
