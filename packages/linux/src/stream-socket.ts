/**
 * TCP connections that are marked from their SYN on (ip(7), ipv6(7)). Node's own sockets can set the type of
 * service only after they are connected, and cannot choose a port before.
 *
 * A socket is bound to an address of this host and a port of the kernel's choice, and connected without
 * waiting. Node can take over its descriptor: `new net.Socket({ fd: socket.release() })`. Closing resets the
 * connection, so neither side keeps state; otherwise ports would run out. Data that has been written but not
 * sent is then lost.
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

/** The state of a connection: pending, established, or failed (`errno`, such as ECONNREFUSED). */
export type Connecting =
	| { readonly state: "connecting" | "connected" }
	| { readonly state: "failed"; readonly errno: number };

export class StreamSocket implements Disposable {
	/** A port of this host to which no other socket is bound. */
	readonly port: number;
	#fd: number;

	/**
	 * `local`: an address of this host, 4 or 16 bytes. `tos`: the type of service or traffic class, with ECN
	 * bits 0. Throws SyscallError: EADDRNOTAVAIL if this host does not have the address.
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

	/** Descriptor to wait for (`watchWritable`) until {@link state} has changed. */
	get fd(): number {
		return this.#fd;
	}

	/** Starts to connect. Returns 0, or `-errno` if this host could not. Call it once. */
	connect(destination: ArrayLike<number>, port: number): number {
		const address = encodeSocketAddress(destination, port);
		const result = connect(this.#fd, address, address.length);
		return result === -ERRNO.EINPROGRESS ? 0 : result;
	}

	/** After a failure it can be read once. */
	state(): Connecting {
		const wait = POLLFD.encode({ fd: this.#fd, events: POLLOUT });
		if (check(poll(wait, 1, 0), "look at a TCP socket") === 0) return { state: "connecting" };
		const value = new Uint8Array(OPTION_INT.size);
		const length = OPTION_INT.encode({ value: value.length });
		check(getsockopt(this.#fd, SOL_SOCKET, SO_ERROR, value, length), "look at a TCP socket");
		const { value: errno } = OPTION_INT.decode(value);
		return errno === 0 ? { state: "connected" } : { state: "failed", errno };
	}

	/** The descriptor, which then belongs to the caller. */
	release(): number {
		const fd = this.#fd;
		this.#fd = -1;
		return fd;
	}

	/** Ends the connection with a RST. Does nothing after `release`. */
	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}
}
