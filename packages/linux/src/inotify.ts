/** inotify(7): reports changes of the entries of folders. */
import { closeSync, readSync } from "node:fs";
import { ERRNO, errnoOfFileError } from "./errno.ts";
import { Layout } from "./layout.ts";
import { check, libcFunction } from "./libc.ts";

/** include/uapi/linux/inotify.h */
const IN = {
	MODIFY: 0x002,
	ATTRIB: 0x004,
	CLOSE_WRITE: 0x008,
	MOVED_FROM: 0x040,
	MOVED_TO: 0x080,
	CREATE: 0x100,
	DELETE: 0x200,
	DELETE_SELF: 0x400,
	MOVE_SELF: 0x800,
	Q_OVERFLOW: 0x4000,
	IGNORED: 0x8000,
	ONLYDIR: 0x0100_0000,
} as const;
/** What happens to the entries themselves, and what happens to their contents. */
const NAMES = IN.ATTRIB | IN.MOVED_FROM | IN.MOVED_TO | IN.CREATE | IN.DELETE;
const CONTENTS = IN.CLOSE_WRITE | IN.MODIFY;
const SELF = IN.DELETE_SELF | IN.MOVE_SELF;
const IN_CLOEXEC_NONBLOCK = 0o2004000;

/** struct inotify_event, which precedes the name. */
const EVENT = new Layout({ watch: "s32", mask: "u32", cookie: "u32", length: "u32" });
/** Space for about a hundred events; one with the longest name has 272 bytes. */
const BUFFER_BYTES = 16_384;

const inotifyInit = libcFunction<[flags: number]>("int inotify_init1(int flags)");
const addWatch = libcFunction<[fd: number, path: Uint8Array, mask: number]>(
	"int inotify_add_watch(int fd, const void *path, uint32_t mask)",
);
const removeWatch = libcFunction<[fd: number, watch: number]>("int inotify_rm_watch(int fd, int wd)");

export type FolderEvent =
	/** The entry `name` of a folder was created, written, renamed, deleted, or its attributes changed. */
	| { readonly kind: "entry"; readonly folder: string; readonly name: string }
	/** The folder itself was deleted or renamed, and is no longer watched. */
	| { readonly kind: "gone"; readonly folder: string }
	/** The kernel dropped events: read everything again. */
	| { readonly kind: "lost" };

export class FolderWatcher implements Disposable {
	#fd: number;
	readonly #folders = new Map<number, string>();

	/** Watches nothing yet. Throws SyscallError (EMFILE beyond sysctl fs.inotify.max_user_instances). */
	constructor() {
		this.#fd = check(inotifyInit(IN_CLOEXEC_NONBLOCK), "open an inotify instance");
	}

	/** Descriptor to watch (`watchReadable`); when it is readable, call {@link read}. */
	get fd(): number {
		return this.#fd;
	}

	/**
	 * Watches a folder, or changes how it is watched. `contents: false` leaves out what is written into its files.
	 * Returns false if the folder does not exist. Throws SyscallError (EACCES, ENOSPC beyond
	 * fs.inotify.max_user_watches).
	 */
	watch(folder: string, { contents = true }: { readonly contents?: boolean } = {}): boolean {
		const mask = NAMES | (contents ? CONTENTS : 0) | SELF | IN.ONLYDIR;
		const result = addWatch(this.#fd, Buffer.from(`${folder}\0`), mask);
		if (result === -ERRNO.ENOENT || result === -ERRNO.ENOTDIR) return false;
		this.#folders.set(check(result, `watch folder ${folder}`), folder);
		return true;
	}

	unwatch(folder: string): void {
		for (const [watch, path] of this.#folders) {
			if (path !== folder) continue;
			this.#folders.delete(watch);
			removeWatch(this.#fd, watch); // EINVAL: the kernel has removed it already
		}
	}

	/** Returns all pending events. Does not wait. */
	read(): readonly FolderEvent[] {
		const events: FolderEvent[] = [];
		const buffer = new Uint8Array(BUFFER_BYTES);
		for (;;) {
			const length = this.#receive(buffer);
			if (length === 0) return events;
			for (let at = 0; at < length; ) {
				const { watch, mask, length: nameBytes } = EVENT.decode(buffer.subarray(at, at + EVENT.size));
				const name = buffer.subarray(at + EVENT.size, at + EVENT.size + nameBytes);
				at += EVENT.size + nameBytes;
				const event = this.#eventOf(watch, mask, name);
				if (event !== undefined) events.push(event);
			}
		}
	}

	#receive(buffer: Uint8Array): number {
		try {
			return readSync(this.#fd, buffer);
		} catch (error) {
			const errno = errnoOfFileError(error);
			if (errno === "EAGAIN") return 0;
			if (errno === "EINTR") return this.#receive(buffer);
			throw error;
		}
	}

	#eventOf(watch: number, mask: number, name: Uint8Array): FolderEvent | undefined {
		if ((mask & IN.Q_OVERFLOW) !== 0) return { kind: "lost" };
		const folder = this.#folders.get(watch);
		if (folder === undefined) return undefined; // an event of a watch that was removed meanwhile
		if ((mask & (SELF | IN.IGNORED)) === 0) {
			const end = name.indexOf(0);
			return {
				kind: "entry",
				folder,
				name: Buffer.from(end < 0 ? name : name.subarray(0, end)).toString(),
			};
		}
		// The watch follows a renamed folder; the folder at its path is now another one.
		this.#folders.delete(watch);
		if ((mask & IN.IGNORED) === 0) removeWatch(this.#fd, watch);
		return { kind: "gone", folder };
	}

	[Symbol.dispose](): void {
		if (this.#fd < 0) return;
		closeSync(this.#fd);
		this.#fd = -1;
		this.#folders.clear();
	}
}
