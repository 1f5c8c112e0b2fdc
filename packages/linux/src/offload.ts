/**
 * Offloads of a network device, which change packets before programs see them, as `ethtool -k` shows them.
 */
import { closeSync } from "node:fs";
import { ERRNO } from "./errno.ts";
import { Layout } from "./layout.ts";
import { check, SyscallError } from "./libc.ts";
import { AF_INET, ioctl, SOCK_CLOEXEC, SOCK_DGRAM, socket } from "./socket.ts";

const SIOCETHTOOL = 0x8946;
/** include/uapi/linux/ethtool.h */
const ETHTOOL_GDRVINFO = 0x03;
const ETHTOOL_STXCSUM = 0x17;
const ETHTOOL_GFLAGS = 0x25;
const ETH_FLAG_RXVLAN = 1 << 8;
const ETH_FLAG_LRO = 1 << 15;

const ETHTOOL_VALUE = new Layout({ cmd: "u32", data: "u32" });
/** struct ethtool_drvinfo */
const ETHTOOL_DRVINFO = new Layout({ cmd: "u32", driver: { text: 32 }, _rest: { bytes: 160 } });
/** struct ifreq with ifr_data. */
const IFREQ_DATA = new Layout({ name: { text: 16 }, data: "pointer", _rest: { bytes: 16 } });

export interface Offloads {
	/** rx-vlan-offload: the device removes VLAN tags from frames and reports them separately. */
	readonly takesVlanTags: boolean;
	/** large-receive-offload: the device merges several packets into one. */
	readonly mergesPackets: boolean;
}

/**
 * The offloads of the interface with that name in this namespace. Throws SyscallError (ENODEV; EOPNOTSUPP:
 * the device has none).
 */
export function offloadsOf(name: string): Offloads {
	const value = ETHTOOL_VALUE.encode({ cmd: ETHTOOL_GFLAGS });
	ethtool(name, value, `read the offloads of ${name}`);
	const flags = ETHTOOL_VALUE.decode(value).data;
	return { takesVlanTags: (flags & ETH_FLAG_RXVLAN) !== 0, mergesPackets: (flags & ETH_FLAG_LRO) !== 0 };
}

/**
 * The driver of the interface with that name in this namespace, such as `virtio_net`; undefined if it has
 * none or does not exist. /sys would show the namespace in which /sys was mounted.
 */
export function driverOf(name: string): string | undefined {
	const value = ETHTOOL_DRVINFO.encode({ cmd: ETHTOOL_GDRVINFO });
	try {
		ethtool(name, value, `read the driver of ${name}`);
	} catch (error) {
		if (error instanceof SyscallError) return undefined;
		throw error;
	}
	const { driver } = ETHTOOL_DRVINFO.decode(value);
	return driver === "" ? undefined : driver;
}

/**
 * Sets whether the device or the kernel completes the checksums of sent packets (`ethtool -K tx`). Throws
 * SyscallError.
 */
export function setTransmitChecksums(name: string, byDevice: boolean): void {
	const value = ETHTOOL_VALUE.encode({ cmd: ETHTOOL_STXCSUM, data: byDevice ? 1 : 0 });
	ethtool(name, value, `set who computes the checksums of what ${name} sends`);
}

/** ioctl(SIOCETHTOOL): the kernel reads and fills `value`. */
function ethtool(name: string, value: Uint8Array, doing: string): void {
	if (Buffer.byteLength(name) > 15) throw new SyscallError(doing, ERRNO.ENODEV);
	const fd = check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), doing);
	try {
		check(ioctl(fd, SIOCETHTOOL, IFREQ_DATA.encode({ name, data: value })), doing);
	} finally {
		closeSync(fd);
	}
}
