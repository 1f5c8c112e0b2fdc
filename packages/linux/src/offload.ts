/** What a network device does to packets before programs see them, as `ethtool -k` shows it. */
import { closeSync } from "node:fs";
import { Layout } from "./layout.ts";
import { check } from "./libc.ts";
import { AF_INET, ioctl, SOCK_CLOEXEC, SOCK_DGRAM, socket } from "./socket.ts";

const SIOCETHTOOL = 0x8946;
/** include/uapi/linux/ethtool.h */
const ETHTOOL_GFLAGS = 0x25;
const ETH_FLAG_RXVLAN = 1 << 8;
const ETH_FLAG_LRO = 1 << 15;

const ETHTOOL_VALUE = new Layout({ cmd: "u32", data: "u32" });
/** struct ifreq with ifr_data. */
const IFREQ_DATA = new Layout({ name: { text: 16 }, data: "pointer", _rest: { bytes: 16 } });

export interface Offloads {
	/** rx-vlan-offload: it takes VLAN tags off frames, and keeps them beside. */
	readonly takesVlanTags: boolean;
	/** large-receive-offload: it makes one packet of several. */
	readonly mergesPackets: boolean;
}

/** Of the interface of that name in this namespace. Throws SyscallError (ENODEV; EOPNOTSUPP: the device has none). */
export function offloadsOf(name: string): Offloads {
	const doing = `read the offloads of ${name}`;
	const fd = check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), doing);
	try {
		const value = ETHTOOL_VALUE.encode({ cmd: ETHTOOL_GFLAGS });
		check(ioctl(fd, SIOCETHTOOL, IFREQ_DATA.encode({ name, data: value })), doing);
		const flags = ETHTOOL_VALUE.decode(value).data;
		return { takesVlanTags: (flags & ETH_FLAG_RXVLAN) !== 0, mergesPackets: (flags & ETH_FLAG_LRO) !== 0 };
	} finally {
		closeSync(fd);
	}
}
