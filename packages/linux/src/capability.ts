/**
 * The capabilities of this thread (capabilities(7)), and the user namespace in which they apply
 * (user_namespaces(7)). Read from /proc, without a privileged call.
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

/** USER_NS_INIT_INO of include/uapi/linux/nsfs.h: the inode of the initial user namespace. */
const INITIAL_USER_NAMESPACE = 0xeffffffd;

/** The names of {@link CAPABILITIES} in this thread's effective set; undefined if /proc does not show it. */
export function effectiveCapabilities(): ReadonlySet<CapabilityName> | undefined {
	const bits = unlessUnreadable(() => decodeEffective(readFileSync("/proc/thread-self/status", "latin1")));
	if (bits === undefined) return undefined;
	const names = Object.keys(CAPABILITIES) as CapabilityName[]; // keys of the literal above
	return new Set(names.filter((name) => (bits >> BigInt(CAPABILITIES[name])) & 1n));
}

/** `CapEff:\t000001ffffffffff` of /proc/PID/status, as a bit set; undefined if the line is missing. */
export function decodeEffective(status: string): bigint | undefined {
	const [, hex] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? [];
	return hex === undefined ? undefined : BigInt(`0x${hex}`);
}

/**
 * Whether this process is in the initial user namespace, whose capabilities bpf(2) requires; true if /proc
 * does not show it.
 */
export function inInitialUserNamespace(): boolean {
	const link = unlessUnreadable(() => readlinkSync("/proc/self/ns/user"));
	return link === undefined || link === `user:[${INITIAL_USER_NAMESPACE}]`;
}

/** _IO(NSIO, 0x1) of include/uapi/linux/nsfs.h: a descriptor of the user namespace that owns a namespace. */
const NS_GET_USERNS = 0xb701;

/**
 * Whether the capabilities of this process apply to the network namespace of this thread: the owning user
 * namespace is the process's own or a descendant. Throws SyscallError.
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
