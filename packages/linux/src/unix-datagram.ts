/** Sends datagrams to another process's Unix socket: sd_notify(3), the journal's native protocol, syslog. */
import { closeSync } from "node:fs";
import { ERRNO } from "./errno.ts";
import { LinuxError } from "./error.ts";
import { check, SyscallError } from "./libc.ts";
import { MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_DGRAM, sendto, socket } from "./socket.ts";

const AF_UNIX = 1;
/** sizeof(sun_path), unix(7). */
const PATH_BYTES = 108;

export class UnixDatagramSender implements Disposable {
	readonly #path: string;
	readonly #address: Uint8Array;
	#fd: number;

	/**
	 * `path` as systemd writes it: `/run/systemd/notify`, or `@name` for an abstract socket. Only `send`
	 * finds out whether a process listens there. Throws LinuxError (SYSCALL) for an invalid path.
	 */
	constructor(path: string) {
		this.#path = path;
		this.#address = addressOf(path);
		this.#fd = check(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), `open a socket for ${path}`);
	}

	/**
	 * Sends one datagram and never waits. Returns false if the receiver's queue is full. Throws SyscallError:
	 * ENOENT or ECONNREFUSED if no process listens, EMSGSIZE if it is too large.
	 */
	send(bytes: Uint8Array): boolean {
		for (;;) {
			const result = sendto(
				this.#fd,
				bytes,
				bytes.length,
				MSG_DONTWAIT | MSG_NOSIGNAL,
				this.#address,
				this.#address.length,
			);
			if (result >= 0) return true;
			if (result === -ERRNO.EAGAIN) return false;
			if (result !== -ERRNO.EINTR) throw new SyscallError(`send to ${this.#path}`, -result);
		}
	}

	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}
}

/** struct sockaddr_un, cut to the length of the name, because the length is part of an abstract name. */
function addressOf(path: string): Uint8Array {
	const name = Buffer.from(path);
	if ((!path.startsWith("/") && !path.startsWith("@")) || name.length >= PATH_BYTES || name.includes(0)) {
		throw new LinuxError("SYSCALL", `open a socket for ${path}: it is not the name of a Unix socket`);
	}
	if (path.startsWith("@")) name[0] = 0;
	const end = path.startsWith("@") ? [] : [0];
	return Uint8Array.of(AF_UNIX & 0xff, AF_UNIX >> 8, ...name, ...end);
}
