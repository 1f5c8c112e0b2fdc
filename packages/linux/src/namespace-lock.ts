/**
 * A lock of the network namespace itself: an abstract Unix socket name (unix(7)), which one process at a time
 * can bind. It needs no file and no privileges, and the kernel releases it when the holder dies.
 */
import { closeSync } from "node:fs";
import { ERRNO } from "./errno.ts";
import { type FileLockOptions, untilTaken } from "./file-lock.ts";
import { Layout } from "./layout.ts";
import { check } from "./libc.ts";
import { AF_UNIX, bind, SOCK_CLOEXEC, SOCK_STREAM, socket } from "./socket.ts";

/** The first field of struct sockaddr_un. */
const FAMILY = new Layout({ family: "u16" });

/** Held until disposed, or until the process ends. */
export class NamespaceLock implements Disposable {
	#fd: number;

	private constructor(fd: number) {
		this.#fd = fd;
	}

	/**
	 * Takes the lock `name` (1-107 bytes) of the network namespace of the calling thread. Throws LOCK_HELD
	 * after `waitMs`; the kernel does not report the holder.
	 */
	static async acquire(name: string, options: FileLockOptions = {}): Promise<NamespaceLock> {
		const doing = `lock ${name} of this network namespace`;
		const fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), doing);
		// An abstract name begins with a zero byte, and ends with the address.
		const address = Buffer.concat([FAMILY.encode({ family: AF_UNIX }), Buffer.from(`\0${name}`)]);
		try {
			await untilTaken(name, options, {
				take() {
					const result = bind(fd, address, address.length);
					if (result !== -ERRNO.EADDRINUSE) check(result, doing);
					return result === 0;
				},
				holder: () => "another process",
			});
			return new NamespaceLock(fd);
		} catch (error) {
			closeSync(fd);
			throw error;
		}
	}

	/** Releases the lock. A second call does nothing. */
	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
	}
}
