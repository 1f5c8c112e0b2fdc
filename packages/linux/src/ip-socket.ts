/**
 * Sends whole IP packets over the kernel's routes, and receives answers before the kernel has judged them.
 *
 * An ordinary socket does not receive an answer from another address than the one that it sent to; this one
 * does. Packets leave through raw(7) sockets with our own IP header, so the kernel picks routes and
 * neighbours. Answers come from packet(7) sockets for one protocol on all interfaces: these see each incoming
 * packet once, before netfilter, reverse path filtering and the check for martian sources.
 */
import { closeSync } from "node:fs";
import { ERRNO } from "./errno.ts";
import { check, libcFunction, SyscallError } from "./libc.ts";
import {
	AF_INET,
	AF_INET6,
	AF_PACKET,
	bind,
	connect,
	enlargeBuffer,
	MSG_DONTWAIT,
	OPTION_INT,
	recv,
	SOCK_CLOEXEC,
	SOCK_DGRAM,
	SOCK_RAW,
	SOCK_STREAM,
	SOCKADDR_LL,
	sendto,
	setsockopt,
	socket,
} from "./socket.ts";
import { encodeSocketAddress, familyOfBytes, nameOf } from "./socket-address.ts";
import { ANSWERS, attachFilter, NOTHING, tcpTo } from "./socket-filter.ts";

const IPPROTO_RAW = 255;
const IPPROTO_IP = 0;
const IP_TOS = 1;
const IPPROTO_IPV6 = 41;
const IPV6_TCLASS = 67;
const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;
const RECEIVE_BUFFER_BYTES = 8 << 20;

const listen = libcFunction<[number, number]>("int listen(int fd, int backlog)");

export interface IpSocketOptions {
	/**
	 * Receives every TCP packet to this port, and ICMP. Default: only answers to first packets, which are
	 * SYN+ACK, RST, UDP and ICMP.
	 */
	readonly tcpPort?: number;
}

/** Sends and receives both families. `using socket = new IpSocket()`. */
export class IpSocket implements Disposable {
	/** Senders and receivers by family; a family that the kernel lacks is missing. */
	readonly #senders = new Map<number, number>();
	readonly #receivers: number[] = [];
	readonly #buffer = new Uint8Array(2048);

	/** Throws SyscallError (EPERM) without CAP_NET_RAW. */
	constructor({ tcpPort }: IpSocketOptions = {}) {
		const filter = tcpPort === undefined ? ANSWERS : tcpTo(tcpPort);
		try {
			for (const family of [AF_INET, AF_INET6]) {
				const doing = "open a raw IP socket";
				const sender = socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
				if (sender === -ERRNO.EAFNOSUPPORT) continue; // booted with ipv6.disable=1
				this.#senders.set(family, check(sender, doing));
				this.#receivers.push(openReceiver(family, filter));
			}
		} catch (error) {
			this[Symbol.dispose]();
			throw error;
		}
	}

	/** Sends a packet that begins with its IP header. Returns 0, or `-errno` if this host could not send. */
	send(packet: Uint8Array, destination: ArrayLike<number>): number {
		const fd = this.#senders.get(familyOfBytes(destination));
		if (fd === undefined) return -ERRNO.EAFNOSUPPORT;
		const address = encodeSocketAddress(destination, 0);
		for (;;) {
			const result = sendto(fd, packet, packet.length, 0, address, address.length);
			if (result !== -ERRNO.EINTR) return Math.min(result, 0);
		}
	}

	/** The descriptors to wait for (`untilReadable`): when one is readable, call {@link receive}. */
	get fds(): readonly number[] {
		return this.#receivers;
	}

	/** All pending packets, each from its IP header on, at most 256 bytes of it. */
	receive(): Uint8Array[] {
		return this.#receivers.flatMap((fd) => this.#drain(fd));
	}

	#drain(fd: number): Uint8Array[] {
		const packets: Uint8Array[] = [];
		while (packets.length < 256) {
			const length = recv(fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT);
			if (length === -ERRNO.EAGAIN) break;
			// An interface that goes down reports that once to every socket on all interfaces.
			if (length === -ERRNO.EINTR || length === -ERRNO.ENETDOWN) continue;
			packets.push(this.#buffer.slice(0, check(length, "receive answers")));
		}
		return packets;
	}

	[Symbol.dispose](): void {
		for (const fd of [...this.#senders.values(), ...this.#receivers]) closeSync(fd);
		this.#senders.clear();
		this.#receivers.length = 0;
	}
}

function openReceiver(family: number, filter: typeof ANSWERS): number {
	const doing = "open a packet socket on all interfaces";
	// Protocol 0 until the filter is attached: otherwise unfiltered packets arrive in between.
	const fd = check(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0), doing);
	try {
		attachFilter(fd, family === AF_INET ? filter.ipv4 : filter.ipv6, doing);
		enlargeBuffer(fd, "receive", RECEIVE_BUFFER_BYTES);
		const address = SOCKADDR_LL.encode({
			family: AF_PACKET,
			protocol: family === AF_INET ? ETH_P_IP : ETH_P_IPV6,
		});
		check(bind(fd, address, address.length), doing);
		return fd;
	} catch (error) {
		closeSync(fd);
		throw error;
	}
}

/**
 * Reserves a port of this host at which the kernel stays silent: packets to it are neither delivered nor
 * answered. Otherwise the kernel would answer an unexpected SYN+ACK with a reset, and a datagram with an ICMP
 * error.
 *
 * It is a listening socket with a filter that accepts nothing: `tcp_filter` in net/ipv4/tcp_ipv4.c drops the
 * packet silently, before anything could be sent in return. No firewall rule and no privilege is needed.
 */
export class SilentPort implements Disposable {
	readonly port: number;
	#fd: number;

	/** `address`: an address of this host, 4 or 16 bytes. Throws SyscallError. */
	constructor(protocol: "tcp" | "udp", address: ArrayLike<number>) {
		const doing = `reserve a ${protocol} port`;
		const type = protocol === "tcp" ? SOCK_STREAM : SOCK_DGRAM;
		this.#fd = check(socket(familyOfBytes(address), type | SOCK_CLOEXEC, 0), doing);
		try {
			attachFilter(this.#fd, NOTHING, doing);
			const any = encodeSocketAddress(address, 0);
			check(bind(this.#fd, any, any.length), doing);
			if (protocol === "tcp") check(listen(this.#fd, 1), doing);
			this.port = nameOf(this.#fd, doing).port;
		} catch (error) {
			this[Symbol.dispose]();
			throw error;
		}
	}

	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}
}

/**
 * The source address that this host's routes select for a destination. Sends nothing. Throws SyscallError:
 * ENETUNREACH without a route.
 */
export function sourceAddressFor(destination: ArrayLike<number>, tos: number): Uint8Array {
	const doing = "find the route to a destination";
	const family = familyOfBytes(destination);
	const fd = check(socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), doing);
	try {
		const value = OPTION_INT.encode({ value: tos });
		const [level, name] = family === AF_INET ? [IPPROTO_IP, IP_TOS] : [IPPROTO_IPV6, IPV6_TCLASS];
		check(setsockopt(fd, level, name, value, value.length), doing);
		const address = encodeSocketAddress(destination, 9); // connect(2) of a datagram socket only looks up a route
		const result = connect(fd, address, address.length);
		if (result < 0) throw new SyscallError(doing, -result);
		return nameOf(fd, doing).address;
	} finally {
		closeSync(fd);
	}
}
