/** The socket calls of the C library, and the constants and structures that several kinds of socket share. */
import { Layout } from "./layout.ts";
import { libcFunction } from "./libc.ts";

/** Address families, include/linux/socket.h. */
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;

/** Types of socket(2). */
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

/** Options of every socket, socket(7). */
export const SOL_SOCKET = 1;
export const SO_ERROR = 4;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
export const SO_LINGER = 13;
export const SO_RCVTIMEO = 20;
export const SO_ATTACH_FILTER = 26;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
export const SO_TIMESTAMPNS = 35;

/** Flags of send(2) and recv(2). */
export const MSG_PEEK = 0x2;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_ERRQUEUE = 0x2000;
export const MSG_NOSIGNAL = 0x4000;

/** Events of poll(2). */
export const POLLIN = 0x001;
export const POLLOUT = 0x004;

/** struct pollfd */
export const POLLFD = new Layout({ fd: "s32", events: "u16", revents: "u16" });
/** An int as an option's value. */
export const OPTION_INT = new Layout({ value: "u32" });

/** struct sockaddr_ll, packet(7). */
export const SOCKADDR_LL = new Layout({
	family: "u16",
	protocol: "be16",
	ifindex: "s32",
	hatype: "u16",
	pkttype: "u8",
	halen: "u8",
	address: { bytes: 8 },
});

export const socket = libcFunction<[domain: number, type: number, protocol: number]>(
	"int socket(int domain, int type, int protocol)",
);
/** Calls to connect, listen and read names: connect(2), listen(2), getsockname(2). */
export const connect = libcFunction<[fd: number, address: Uint8Array, length: number]>(
	"int connect(int fd, void *address, unsigned int length)",
);
export const getsockname = libcFunction<[fd: number, address: Uint8Array, length: Uint8Array]>(
	"int getsockname(int fd, void *address, void *length)",
);
export const getsockopt = libcFunction<
	[fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array]
>("int getsockopt(int fd, int level, int name, void *value, void *length)");
export const bind = libcFunction<[fd: number, address: Uint8Array, length: number]>(
	"int bind(int fd, const void *address, unsigned int length)",
);
export const setsockopt = libcFunction<
	[fd: number, level: number, name: number, value: Uint8Array, length: number]
>("int setsockopt(int fd, int level, int name, const void *value, unsigned int length)");
export const send = libcFunction<[fd: number, bytes: Uint8Array, length: number, flags: number]>(
	"long send(int fd, const void *bytes, size_t length, int flags)",
);
export const sendto = libcFunction<
	[fd: number, bytes: Uint8Array, length: number, flags: number, address: Uint8Array, addressLength: number]
>(
	"long sendto(int fd, const void *bytes, size_t length, int flags, const void *address, unsigned int addressLength)",
);
export const recv = libcFunction<[fd: number, bytes: Uint8Array, length: number, flags: number]>(
	"long recv(int fd, void *bytes, size_t length, int flags)",
);
export const recvmsg = libcFunction<[fd: number, message: Uint8Array, flags: number]>(
	"long recvmsg(int fd, void *message, int flags)",
);
export const poll = libcFunction<[fds: Uint8Array, count: number, timeoutMs: number]>(
	"int poll(void *fds, unsigned long count, int timeout)",
);
export const ioctl = libcFunction<[fd: number, request: number, data: Uint8Array]>(
	"int ioctl(int fd, unsigned long request, void *data)",
);

/**
 * Sets the size of a socket's buffer in bytes. With CAP_NET_ADMIN in the initial user namespace it may exceed
 * net.core.wmem_max and rmem_max; otherwise these limit it.
 */
export function enlargeBuffer(fd: number, side: "send" | "receive", bytes: number): void {
	const value = OPTION_INT.encode({ value: bytes });
	const [forced, bounded] = side === "send" ? [SO_SNDBUFFORCE, SO_SNDBUF] : [SO_RCVBUFFORCE, SO_RCVBUF];
	if (setsockopt(fd, SOL_SOCKET, forced, value, value.length) < 0) {
		setsockopt(fd, SOL_SOCKET, bounded, value, value.length);
	}
}
