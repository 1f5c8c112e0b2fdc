/** Converts the bytes of an address to struct sockaddr_in and sockaddr_in6 (ip(7), ipv6(7)) and back. */
import { Layout } from "./layout.ts";
import { check } from "./libc.ts";
import { AF_INET, AF_INET6, getsockname, OPTION_INT } from "./socket.ts";

const SOCKADDR_IN = new Layout({
	family: "u16",
	port: "be16",
	address: { bytes: 4 },
	_zero: { bytes: 8 },
});
const SOCKADDR_IN6 = new Layout({
	family: "u16",
	port: "be16",
	flowInfo: "be32",
	address: { bytes: 16 },
	scopeId: "u32",
});

/** Space for either, for getsockname(2) to fill. */
export const SOCKADDR_BYTES = SOCKADDR_IN6.size;

export interface SocketAddress {
	/** 4 or 16 bytes, network order. */
	readonly address: Uint8Array;
	readonly port: number;
}

export function familyOfBytes(address: ArrayLike<number>): number {
	return address.length === 4 ? AF_INET : AF_INET6;
}

export function encodeSocketAddress(address: ArrayLike<number>, port: number): Uint8Array {
	const family = familyOfBytes(address);
	const layout = family === AF_INET ? SOCKADDR_IN : SOCKADDR_IN6;
	return layout.encode({ family, port, address: Uint8Array.from(address) });
}

/** Decodes the result of getsockname(2). */
export function decodeSocketAddress(bytes: Uint8Array): SocketAddress {
	const { family, port, address } = SOCKADDR_IN.decode(bytes);
	return family === AF_INET ? { address, port } : SOCKADDR_IN6.decode(bytes);
}

/** The address that a socket is bound to. Throws SyscallError. */
export function nameOf(fd: number, doing: string): SocketAddress {
	const address = new Uint8Array(SOCKADDR_BYTES);
	check(getsockname(fd, address, OPTION_INT.encode({ value: address.length })), doing);
	return decodeSocketAddress(address);
}
