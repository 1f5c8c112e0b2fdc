/**
 * Classic BPF programs for SO_ATTACH_FILTER (socket(7), Documentation/networking/filter.rst): the kernel
 * selects what a socket receives, so that a busy host does not flood it.
 */
import { Layout } from "./layout.ts";
import { check } from "./libc.ts";
import { SO_ATTACH_FILTER, SOL_SOCKET, setsockopt } from "./socket.ts";

const SOCK_FILTER = new Layout({ code: "u16", jumpTrue: "u8", jumpFalse: "u8", k: "u32" });
const SOCK_FPROG = new Layout({ length: "u16", filter: "pointer" });

/** Combined opcodes of include/uapi/linux/bpf_common.h. */
const LD_BYTE = 0x30;
const LD_HALF = 0x28;
const LD_BYTE_AT_X = 0x50;
const LD_HALF_AT_X = 0x48;
const LDX_IPV4_HEADER_LENGTH = 0xb1;
const AND = 0x54;
const JEQ = 0x15;
const JSET = 0x45;
const RET = 0x06;

/** Code, jump if true, jump if false (instructions to skip), operand. */
export type FilterInstruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number];

/** Receives nothing. */
export const NOTHING: readonly FilterInstruction[] = [[RET, 0, 0, 0]];

/** Longer than the headers that identify an answer, and those that an ICMP error quotes. */
const KEPT_BYTES = 256;

const TCP_DESTINATION_PORT_OFFSET = 2;
const TCP_FLAGS_OFFSET = 13;
const RST = 0x04;
const SYN_ACK = 0x12;

/**
 * For packets that begin with the network header: passes ICMP, UDP, and the two TCP answers to a SYN (SYN+ACK
 * and RST). It does not parse IPv6 extension headers, which no kernel's answer has.
 */
export const ANSWERS: Readonly<Record<"ipv4" | "ipv6", readonly FilterInstruction[]>> = {
	ipv4: [
		[LD_BYTE, 0, 0, 9], // protocol
		[JEQ, 9, 0, 1], // ICMP: keep
		[JEQ, 8, 0, 17], // UDP: keep
		[JEQ, 0, 8, 6], // not TCP: drop
		[LD_HALF, 0, 0, 6],
		[JSET, 6, 0, 0x1fff], // later fragment: drop
		[LDX_IPV4_HEADER_LENGTH, 0, 0, 0],
		[LD_BYTE_AT_X, 0, 0, TCP_FLAGS_OFFSET],
		[JSET, 2, 0, RST], // keep
		[AND, 0, 0, SYN_ACK],
		[JEQ, 0, 1, SYN_ACK],
		[RET, 0, 0, KEPT_BYTES],
		[RET, 0, 0, 0],
	],
	ipv6: [
		[LD_BYTE, 0, 0, 6], // next header
		[JEQ, 6, 0, 58], // ICMPv6: keep
		[JEQ, 5, 0, 17], // UDP: keep
		[JEQ, 0, 5, 6], // not TCP: drop
		[LD_BYTE, 0, 0, 40 + TCP_FLAGS_OFFSET],
		[JSET, 2, 0, RST], // keep
		[AND, 0, 0, SYN_ACK],
		[JEQ, 0, 1, SYN_ACK],
		[RET, 0, 0, KEPT_BYTES],
		[RET, 0, 0, 0],
	],
};

/**
 * For packets that begin with the network header: passes ICMP, and all TCP to one port of this host, thus a
 * whole connection. Later fragments have no port, and are dropped.
 */
export function tcpTo(port: number): typeof ANSWERS {
	return {
		ipv4: [
			[LD_BYTE, 0, 0, 9], // protocol
			[JEQ, 6, 0, 1], // ICMP: keep
			[JEQ, 0, 6, 6], // not TCP: drop
			[LD_HALF, 0, 0, 6],
			[JSET, 4, 0, 0x1fff], // later fragment: drop
			[LDX_IPV4_HEADER_LENGTH, 0, 0, 0],
			[LD_HALF_AT_X, 0, 0, TCP_DESTINATION_PORT_OFFSET],
			[JEQ, 0, 1, port],
			[RET, 0, 0, KEPT_BYTES],
			[RET, 0, 0, 0],
		],
		ipv6: [
			[LD_BYTE, 0, 0, 6], // next header
			[JEQ, 3, 0, 58], // ICMPv6: keep
			[JEQ, 0, 3, 6], // not TCP: drop
			[LD_HALF, 0, 0, 40 + TCP_DESTINATION_PORT_OFFSET],
			[JEQ, 0, 1, port],
			[RET, 0, 0, KEPT_BYTES],
			[RET, 0, 0, 0],
		],
	};
}

/**
 * From now on, the socket receives only packets for which the program returns a length. Throws SyscallError.
 */
export function attachFilter(fd: number, program: readonly FilterInstruction[], doing: string): void {
	const filter = Buffer.concat(
		program.map(([code, jumpTrue, jumpFalse, k]) => SOCK_FILTER.encode({ code, jumpTrue, jumpFalse, k })),
	);
	const argument = SOCK_FPROG.encode({ length: program.length, filter });
	check(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, argument, argument.length), doing);
	filter.fill(0); // the kernel has its own copy; until here the memory must stay
}
