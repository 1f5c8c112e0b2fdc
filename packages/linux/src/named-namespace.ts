/** Network namespaces with names, as ip-netns(8) keeps them: bind mounts of nsfs files below /run/netns. */
import { closeSync, mkdirSync, openSync, readdirSync, statSync, unlinkSync } from "node:fs";
import { ERRNO, errnoOfFileError, fileErrorText } from "./errno.ts";
import { LinuxError } from "./error.ts";
import { check, libcFunction, SyscallError } from "./libc.ts";
import { NetworkNamespace } from "./network-namespace.ts";

const FOLDER = "/run/netns";

/** mount(2), umount(2) */
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SHARED = 1 << 20;
const MNT_DETACH = 2;

const mount = libcFunction<
	[source: Uint8Array, target: Uint8Array, type: Uint8Array, flags: number, data: null]
>(
	"int mount(const void *source, const void *target, const void *type, unsigned long flags, const void *data)",
);
const umount2 = libcFunction<[target: Uint8Array, flags: number]>(
	"int umount2(const void *target, int flags)",
);

/** The file of the namespace `name`. Throws LinuxError (SYSCALL) if that is not a valid file name. */
export function namedNamespacePath(name: string): string {
	if (name === "" || name === "." || name === ".." || /[/\0]/.test(name) || Buffer.byteLength(name) > 255) {
		throw new LinuxError("SYSCALL", `network namespace "${name}": not a name that a namespace can have`);
	}
	return `${FOLDER}/${name}`;
}

/** The names of all of them, sorted. */
export function listNamedNamespaces(): string[] {
	try {
		return readdirSync(FOLDER).sort();
	} catch {
		return []; // the first namespace creates the folder
	}
}

/**
 * Throws LinuxError: SYSCALL if the name is taken, PERMISSION without CAP_SYS_ADMIN; then nothing is left
 * behind.
 */
export function createNamedNamespace(name: string): NetworkNamespace {
	const path = namedNamespacePath(name);
	const doing = `create network namespace ${name}`;
	prepareFolder(doing);
	try {
		closeSync(openSync(path, "wx", 0o444));
	} catch (cause) {
		const denied = ["EACCES", "EPERM"].includes(errnoOfFileError(cause) ?? "");
		throw new LinuxError(denied ? "PERMISSION" : "SYSCALL", `${doing}: ${fileErrorText(cause)}`, { cause });
	}
	let namespace: NetworkNamespace | undefined;
	try {
		namespace = NetworkNamespace.create();
		bind(namespace.path, path, doing);
		return namespace;
	} catch (error) {
		namespace?.[Symbol.dispose]();
		unlinkSync(path);
		throw error;
	}
}

/**
 * Deletes the name. The namespace and its interfaces, rules and addresses are deleted when the last process
 * in it ends and nothing holds it open. Throws LinuxError: SYSCALL if the name does not exist, PERMISSION.
 */
export function deleteNamedNamespace(name: string): void {
	const path = namedNamespacePath(name);
	const doing = `delete network namespace ${name}`;
	const result = umount2(cText(path), MNT_DETACH);
	// Nothing is mounted there after a reboot if /run is on a disk, or if a creation was killed.
	if (result < 0 && result !== -ERRNO.EINVAL) throw new SyscallError(doing, -result);
	try {
		unlinkSync(path);
	} catch (cause) {
		throw new LinuxError("SYSCALL", `${doing}: ${fileErrorText(cause)}`, { cause });
	}
}

/** Ids of the processes whose main thread is in the namespace, in the order of /proc. */
export function namespaceProcesses(namespace: NetworkNamespace): number[] {
	const { inode } = namespace;
	return readdirSync("/proc")
		.filter((entry) => /^[0-9]+$/.test(entry))
		.filter((pid) => {
			try {
				return statSync(`/proc/${pid}/ns/net`).ino === inode;
			} catch {
				return false; // it has ended
			}
		})
		.map(Number);
}

/** Its mounts must reach every mount namespace of this machine, as those of ip-netns(8) do. */
function prepareFolder(doing: string): void {
	try {
		mkdirSync(FOLDER, { recursive: true, mode: 0o755 });
	} catch (cause) {
		const denied = ["EACCES", "EPERM"].includes(errnoOfFileError(cause) ?? "");
		throw new LinuxError(denied ? "PERMISSION" : "SYSCALL", `${doing}: ${fileErrorText(cause)}`, { cause });
	}
	const share = () => mount(cText(""), cText(FOLDER), cText("none"), MS_SHARED | MS_REC, null);
	let result = share();
	if (result === -ERRNO.EINVAL) {
		// It is not a mount point yet.
		check(mount(cText(FOLDER), cText(FOLDER), cText("none"), MS_BIND | MS_REC, null), doing);
		result = share();
	}
	check(result, doing);
}

function bind(source: string, target: string, doing: string): void {
	check(mount(cText(source), cText(target), cText("none"), MS_BIND, null), doing);
}

function cText(text: string): Uint8Array {
	return Buffer.from(`${text}\0`);
}
