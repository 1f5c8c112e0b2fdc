/** Lists sockets of this network namespace with the kernel's socket diagnosis (sock_diag(7)). */
import { ERRNO } from "./errno.ts";
import { Layout } from "./layout.ts";
import { SyscallError } from "./libc.ts";
import { NETLINK_PROTOCOL, Netlink } from "./netlink.ts";
import { decodeAttributes } from "./netlink-attribute.ts";
import { AF_INET6 } from "./socket.ts";

const SOCK_DIAG_BY_FAMILY = 20;
const INET_DIAG_SKV6ONLY = 11;
const IPPROTO = { tcp: 6, udp: 17 } as const;
/**
 * TCP_LISTEN and TCP_CLOSE of include/net/tcp_states.h; TCP_CLOSE is also the state of an unconnected UDP
 * socket.
 */
const WAITING_STATES = (1 << 10) | (1 << 7);

/** struct inet_diag_req_v2; its socket id stays 0, because a dump asks for all. */
const REQUEST = new Layout({
	family: "u8",
	protocol: "u8",
	extensions: "u8",
	_pad: "u8",
	states: "u32",
	id: { bytes: 48 },
});
/** struct inet_diag_msg. */
const MESSAGE = new Layout({
	family: "u8",
	state: "u8",
	timer: "u8",
	retransmissions: "u8",
	port: "be16",
	peerPort: "be16",
	address: { bytes: 16 },
	peer: { bytes: 16 },
	interface: "u32",
	cookie: { bytes: 8 },
	expires: "u32",
	receiveQueue: "u32",
	sendQueue: "u32",
	user: "u32",
	inode: "u32",
});

/** A socket that waits for packets. */
export interface WaitingSocket {
	/** 16 bytes. */
	readonly address: Uint8Array;
	readonly port: number;
}

/**
 * IPv6 sockets that do not accept IPv4 (IPV6_V6ONLY): TCP in state LISTEN, UDP without a peer. Empty if the
 * kernel has no socket diagnosis for the protocol. Throws SyscallError.
 */
export function listIpv6OnlySockets(protocol: keyof typeof IPPROTO): readonly WaitingSocket[] {
	using netlink = new Netlink(NETLINK_PROTOCOL.SOCK_DIAG);
	const payload = REQUEST.encode({
		family: AF_INET6,
		protocol: IPPROTO[protocol],
		states: WAITING_STATES,
		id: new Uint8Array(48),
	});
	const doing = `list the sockets of ${protocol}`;
	try {
		return netlink.dump({ type: SOCK_DIAG_BY_FAMILY, payload, doing }).flatMap(({ payload: bytes }) => {
			const { address, port } = MESSAGE.decode(bytes);
			const only = decodeAttributes(bytes.subarray(MESSAGE.size)).get(INET_DIAG_SKV6ONLY)?.[0] === 1;
			return only ? [{ address, port }] : [];
		});
	} catch (error) {
		const missing = [ERRNO.ENOENT, ERRNO.EPROTONOSUPPORT];
		if (error instanceof SyscallError && missing.some((one) => one === error.errno)) return [];
		throw error;
	}
}
