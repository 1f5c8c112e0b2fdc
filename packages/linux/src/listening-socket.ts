/**
 * Listening sockets whose descriptors this process keeps and passes to a server process: if that dies, it is
 * replaced without a refused connection.
 */
import { chmodSync, closeSync, lstatSync, unlinkSync } from "node:fs";
import { ERRNO, errnoOfFileError } from "./errno.ts";
import { LinuxError } from "./error.ts";
import { check, libcFunction } from "./libc.ts";
import {
	AF_INET6,
	bind,
	OPTION_INT,
	SOCK_CLOEXEC,
	SOCK_NONBLOCK,
	SOCK_STREAM,
	SOL_SOCKET,
	setsockopt,
	socket,
} from "./socket.ts";
import { decodeSocketAddress, encodeSocketAddress, familyOfBytes, SOCKADDR_BYTES } from "./socket-address.ts";

const AF_UNIX = 1;
const SHUT_RDWR = 2;
const SO_REUSEADDR = 2;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
/** sizeof(sun_path), unix(7), with the terminating zero. */
const UNIX_PATH_BYTES = 108;

const listen = libcFunction<[fd: number, backlog: number]>("int listen(int fd, int backlog)");
const connect = libcFunction<[fd: number, address: Uint8Array, length: number]>(
	"int connect(int fd, const void *address, unsigned int length)",
);
const shutdown = libcFunction<[fd: number, how: number]>("int shutdown(int fd, int how)");
const getsockname = libcFunction<[fd: number, address: Uint8Array, length: Uint8Array]>(
	"int getsockname(int fd, void *address, void *length)",
);

export interface UnixSocketOptions {
	/** Permissions of the file. */
	readonly mode: number;
	/** Group of the file, which needs CAP_SETGID; default: the group of this process. */
	readonly group?: number;
	readonly backlog?: number;
}

/** A listening socket. Owns its descriptor, and the file of a Unix socket. */
export class ListeningSocket implements Disposable {
	#fd: number;
	readonly #path: string | undefined;
	readonly #inode: number | undefined;

	private constructor(fd: number, path?: string) {
		this.#fd = fd;
		this.#path = path;
		this.#inode = path === undefined ? undefined : lstatSync(path).ino;
	}

	/**
	 * `address`: 4 or 16 bytes; `port` 0 takes a free one. Throws SyscallError: EADDRINUSE, EADDRNOTAVAIL,
	 * EACCES.
	 */
	static tcp(address: Uint8Array, port: number, backlog = 128): ListeningSocket {
		const doing = `listen on TCP port ${port}`;
		const family = familyOfBytes(address);
		const fd = check(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), doing);
		try {
			const one = OPTION_INT.encode({ value: 1 });
			check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, one, one.length), doing);
			if (family === AF_INET6) check(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, one, one.length), doing);
			const name = encodeSocketAddress(address, port);
			check(bind(fd, name, name.length), doing);
			check(listen(fd, backlog), doing);
			return new ListeningSocket(fd);
		} catch (error) {
			closeSync(fd);
			throw error;
		}
	}

	/**
	 * Replaces the socket file that an ended process has left at `path`. Throws SyscallError (EADDRINUSE: a
	 * process listens there), LinuxError (SYSCALL: the file is not a socket).
	 */
	static unix(path: string, { mode, group, backlog = 128 }: UnixSocketOptions): ListeningSocket {
		const doing = `listen on ${path}`;
		const name = encodeUnixAddress(path, doing);
		removeStale(path, name, doing);
		const fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), doing);
		let bound = false;
		try {
			check(bindAs(fd, name, group), doing);
			bound = true;
			chmodSync(path, mode);
			check(listen(fd, backlog), doing);
			return new ListeningSocket(fd, path);
		} catch (error) {
			closeSync(fd);
			if (bound) unlinkSync(path);
			throw error;
		}
	}

	/** Valid until this is disposed. */
	get fd(): number {
		return this.#fd;
	}

	/** TCP only: the port that it listens on. */
	get port(): number {
		const bytes = new Uint8Array(SOCKADDR_BYTES);
		check(
			getsockname(this.#fd, bytes, OPTION_INT.encode({ value: bytes.length })),
			"ask a socket for its port",
		);
		return decodeSocketAddress(bytes).port;
	}

	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		// Otherwise a process that has a copy of the descriptor and is about to end would keep the port in
		// use.
		shutdown(this.#fd, SHUT_RDWR);
		closeSync(this.#fd);
		this.#fd = -1;
		if (this.#path === undefined) return;
		try {
			// Another process may have put its own there.
			if (lstatSync(this.#path).ino === this.#inode) unlinkSync(this.#path);
		} catch (error) {
			if (errnoOfFileError(error) !== "ENOENT") throw error;
		}
	}
}

/** struct sockaddr_un, unix(7). */
function encodeUnixAddress(path: string, doing: string): Uint8Array {
	const bytes = Buffer.from(path);
	if (bytes.length >= UNIX_PATH_BYTES || bytes.includes(0))
		throw new LinuxError(
			"SYSCALL",
			`${doing}: the path is longer than ${UNIX_PATH_BYTES - 1} bytes, or has a zero byte`,
		);
	const address = new Uint8Array(2 + bytes.length + 1);
	new DataView(address.buffer).setUint16(0, AF_UNIX, true);
	address.set(bytes, 2);
	return address;
}

/**
 * Creates the socket file, of `group` from the start, without any permissions: nobody may connect before it has them.
 * Changing the group of a file needs CAP_CHOWN, which a service should not have; creating it with a group does not.
 */
function bindAs(fd: number, name: Uint8Array, group: number | undefined): number {
	const own = process.getegid?.();
	const mask = process.umask(0o777);
	try {
		if (group !== undefined) process.setegid?.(group);
		return bind(fd, name, name.length);
	} finally {
		process.umask(mask);
		if (group !== undefined && own !== undefined) process.setegid?.(own);
	}
}

function removeStale(path: string, name: Uint8Array, doing: string): void {
	try {
		if (!lstatSync(path).isSocket()) {
			throw new LinuxError("SYSCALL", `${doing}: the file exists and is not a socket`);
		}
	} catch (error) {
		if (errnoOfFileError(error) === "ENOENT") return;
		throw error;
	}
	// Without waiting: a process that listens there may accept nothing.
	const fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), doing);
	try {
		// If any process has the socket, of whatever type, leave the file: bind(2) then reports that the address is in use.
		if (connect(fd, name, name.length) === -ERRNO.ECONNREFUSED) unlinkSync(path);
	} finally {
		closeSync(fd);
	}
}
