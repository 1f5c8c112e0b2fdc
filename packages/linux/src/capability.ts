/**
 * What this thread may ask of the kernel: its capabilities (capabilities(7)), and the user namespace in which they
 * count (user_namespaces(7)). Read from /proc, without a privileged call.
 */
import { closeSync, constants, openSync, readFileSync, readlinkSync } from "node:fs";
import { ERRNO } from "./errno.ts";
import { check } from "./libc.ts";
import { ioctl } from "./socket.ts";

/** Numbers of include/uapi/linux/capability.h. */
export const CAPABILITIES = {
	CAP_NET_ADMIN: 12,
	CAP_NET_RAW: 13,
	CAP_SYS_ADMIN: 21,
	CAP_PERFMON: 38,
	CAP_BPF: 39,
} as const;
export type CapabilityName = keyof typeof CAPABILITIES;

/** USER_NS_INIT_INO of include/uapi/linux/nsfs.h: the inode of the user namespace that the system booted with. */
const INITIAL_USER_NAMESPACE = 0xeffffffd;

/** The names of {@link CAPABILITIES} that are in this thread's effective set; undefined where /proc does not say. */
export function effectiveCapabilities(): ReadonlySet<CapabilityName> | undefined {
	const bits = unlessUnreadable(() => decodeEffective(readFileSync("/proc/thread-self/status", "latin1")));
	if (bits === undefined) return undefined;
	const names = Object.keys(CAPABILITIES) as CapabilityName[]; // keys of the literal above
	return new Set(names.filter((name) => (bits >> BigInt(CAPABILITIES[name])) & 1n));
}

/** `CapEff:\t000001ffffffffff` of /proc/PID/status, as a bit set; undefined where the line is missing. */
export function decodeEffective(status: string): bigint | undefined {
	const [, hex] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? [];
	return hex === undefined ? undefined : BigInt(`0x${hex}`);
}

/** Whether capabilities of this process count everywhere, as bpf(2) asks for; true where /proc does not say. */
export function inInitialUserNamespace(): boolean {
	const link = unlessUnreadable(() => readlinkSync("/proc/self/ns/user"));
	return link === undefined || link === `user:[${INITIAL_USER_NAMESPACE}]`;
}

/** _IO(NSIO, 0x1) of include/uapi/linux/nsfs.h: a descriptor of the user namespace that owns a namespace. */
const NS_GET_USERNS = 0xb701;

/**
 * Whether capabilities of this process count in the network namespace of this thread: the user namespace that owns it is
 * that of the process, or below it. Throws SyscallError.
 */
export function ownsNetworkNamespace(): boolean {
	const fd = openSync("/proc/thread-self/ns/net", constants.O_RDONLY);
	try {
		const owner = ioctl(fd, NS_GET_USERNS, new Uint8Array(0));
		if (owner === -ERRNO.EPERM) return false; // the owner is not within this user namespace
		closeSync(check(owner, "look up who owns this network namespace"));
		return true;
	} finally {
		closeSync(fd);
	}
}

function unlessUnreadable<T>(read: () => T): T | undefined {
	try {
		return read();
	} catch {
		return undefined; // no /proc, or one that hides this
	}
}
