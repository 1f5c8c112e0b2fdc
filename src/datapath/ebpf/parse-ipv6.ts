/** From the start of an IPv6 packet to: DSCP has rules, packet is readable, TRANSPORT, KIND and length known. */
import {
	add,
	and,
	type Instruction,
	ja,
	jeq,
	jge,
	jgt,
	jne,
	jset,
	load,
	loadImm64,
	lsh,
	mov,
	mul,
	or,
	type Register,
	rsh,
	store,
	sub,
	toBigEndian,
	xor,
} from "../../bpf/asm/index.ts";
import { EXTENSION_HEADER, EXTENSION_LIMIT } from "../reference.ts";
import type { Code } from "./code.ts";
import { FP, KIND, KIND_BIT, NO_PROTOCOL, PACKET, STACK, TRANSPORT } from "./frame.ts";
import {
	CONTEXT,
	type CompileTarget,
	copyFromPacket,
	forget,
	loadArrivedBytes,
	loadContext,
	loadPacketEnd,
} from "./hook.ts";
import { emitDscpFilter, emitFrameFilter, emitPacketBounds, PASS } from "./parse-link.ts";

/** struct ipv6hdr */
export const IPV6 = { payloadLength: 4, nextHeader: 6, hopLimit: 7, source: 8, destination: 24 } as const;
export const IPV6_HEADER_BYTES = 40;

const UDP = 17;
const UDP_CHECKSUM_OFFSET = 6;

/** Extension headers below 64 as bits of a u64, those that ipv6_find_hdr in the kernel walks over. */
const KERNEL_WALKS = [0, 43, 44, 51, 60].reduce((mask, header) => mask | (1n << BigInt(header)), 0n);
/** Extension headers from 128 to 191 as bits of a u64, at which `-p` stops but the rewrite does not. */
const REWRITE_WALKS = [EXTENSION_HEADER.mobility, EXTENSION_HEADER.hip, EXTENSION_HEADER.shim6].reduce(
	(mask, header) => mask | (1n << BigInt(header - 128)),
	0n,
);

/** Commonest transports first: with one of them there is nothing to walk. */
const QUICK_TRANSPORTS = [6, UDP, 58];

export function emitParseIpv6(code: Code, target: CompileTarget, mask: bigint): void {
	const link = target.linkHeaderBytes;
	emitPacketBounds(code, target, "v6", link + IPV6_HEADER_BYTES);
	emitDscpFilter(code, target, "ipv6", mask);
	emitFrameFilter(code, target, "v6");
	code.step("version 6, or no IPv6", load(1, 2, PACKET, link), rsh.imm(2, 4), jne.imm(2, 6, PASS));
	code.step(
		"check the payload length against what arrived",
		...loadArrivedBytes(4, 3, target),
		load(1, KIND, PACKET, link + IPV6.nextHeader),
		load(2, 5, PACKET, link + IPV6.payloadLength),
		toBigEndian(16, 5),
		add.imm(5, IPV6_HEADER_BYTES),
		jgt.reg(5, 4, PASS),
		jne.imm(5, IPV6_HEADER_BYTES, "v6_length"),
	);
	code.step(
		"payload length 0 with hop-by-hop options: a jumbogram, all that arrived",
		jne.imm(KIND, 0, "v6_length"),
		mov.reg(5, 4),
	);
	code.label("v6_length");
	code.step(
		"keep the length of the packet; the next header is the transport, if it is one of these",
		store(4, FP, STACK.length, 5),
		mov.imm(TRANSPORT, link + IPV6_HEADER_BYTES),
		store(4, FP, STACK.protocol, KIND),
		...QUICK_TRANSPORTS.map((protocol) =>
			jeq.imm(KIND, protocol, protocol === UDP ? "v6_udp" : "v6_dispatch"),
		),
	);
	emitWalk(code, target);
	emitUdpWithoutChecksum(code, target);
}

/** A UDP checksum of 0 means "none" and stays: then nothing makes up for the new address in skb->csum. */
function emitUdpWithoutChecksum(code: Code, target: CompileTarget): void {
	const offset = target.linkHeaderBytes + IPV6_HEADER_BYTES + UDP_CHECKSUM_OFFSET;
	const context = target.hook === "tc" ? CONTEXT.tc : CONTEXT.xdp;
	code.label("v6_udp");
	code.step(
		"UDP: is the checksum 0, none?",
		loadContext(3, context.dataEnd),
		mov.reg(2, PACKET),
		add.imm(2, offset + 2),
		jgt.reg(2, 3, "v6_udp_far"),
		load(2, 2, PACKET, offset),
		jne.imm(2, 0, "v6_dispatch"),
		or.imm(KIND, KIND_BIT.noChecksum),
		ja("v6_dispatch"),
	);
	code.label("v6_udp_far");
	code.step(
		"the same behind extension headers or linear memory",
		...loadPacketEnd(4, target),
		mov.reg(2, TRANSPORT),
		add.imm(2, UDP_CHECKSUM_OFFSET + 2),
		jgt.reg(2, 4, "v6_dispatch"),
		add.imm(2, -2),
		...copyFromPacket(target.hook, 2, STACK.scratch, 2),
		jne.imm(0, 0, "v6_dispatch"),
		load(2, 2, FP, STACK.scratch),
		jne.imm(2, 0, "v6_dispatch"),
		or.imm(KIND, KIND_BIT.noChecksum),
		ja("v6_dispatch"),
	);
}

/** KIND and TRANSPORT go from header to header; STACK.protocol keeps the first that the kernel stops at. */
function emitWalk(code: Code, target: CompileTarget): void {
	code.step(
		"walk the extension headers",
		mov.imm(2, 0),
		store(8, FP, STACK.walked, 2),
		load(4, 4, FP, STACK.length),
		mov.imm(2, -1),
		...forget(2, 4),
		store(4, FP, STACK.protocol, 2),
		mov.imm(2, 0),
		...forget(2, 4),
		store(4, FP, STACK.hasPorts, 2),
		store(4, FP, STACK.scratch, 2),
		...forget(KIND, 4),
	);
	emitWalkOne(code, target);
	code.label("v6_walked");
	code.step(
		"at the transport header: what -p sees, unless it stopped before",
		load(4, 2, FP, STACK.protocol),
		...skipUnlessUnset(2, "v6_walked_protocol"),
		store(4, FP, STACK.protocol, KIND),
	);
	code.label("v6_walked_protocol");
	code.step(
		"no next header (59): nothing more to find",
		jne.imm(KIND, EXTENSION_HEADER.noNextHeader, "v6_walked_transport"),
		or.imm(KIND, KIND_BIT.laterFragment),
	);
	code.label("v6_walked_transport");
	// A routing header with segments left was noted in STACK.hasPorts, which is free until rules run.
	code.step(
		"add what a routing header said",
		load(4, 2, FP, STACK.length),
		...forget(KIND, 2),
		...forget(TRANSPORT, 2),
		load(4, 2, FP, STACK.hasPorts),
		mov.reg(3, KIND),
		or.reg(KIND, 2),
		jeq.imm(3, UDP, "v6_udp_far"),
		ja("v6_dispatch"),
	);
	emitWalkEnds(code);
}

/**
 * The loop: over one extension header and on to the next, EXTENSION_LIMIT times at most.
 *
 * The verifier goes through each round anew, along every way that leads into it: where code would branch by the
 * kind of header and come together again, this computes with bits instead: a third less time to load.
 */
function emitWalkOne(code: Code, target: CompileTarget): void {
	const at = "v6_walk";
	code.label(at);
	code.step(
		"an extension header, of those that the kernel walks over or of those that only the rewrite looks behind?",
		mov.reg(4, KIND),
		and.imm(4, 63),
		loadImm64(2, KERNEL_WALKS),
		rsh.reg(2, 4),
		and.imm(2, 1),
		loadImm64(3, REWRITE_WALKS),
		rsh.reg(3, 4),
		and.imm(3, 1),
		lsh.imm(3, 2),
		or.reg(2, 3),
		mov.reg(5, KIND),
		rsh.imm(5, 6),
		rsh.reg(2, 5),
		and.imm(2, 1),
		jeq.imm(2, 0, "v6_walked"),
	);
	code.step(
		"-p stops at the latter, if it has not before",
		rsh.imm(5, 1),
		load(4, 3, FP, STACK.protocol),
		mov.reg(2, 3),
		add.imm(2, 1),
		rsh.imm(2, 32),
		and.reg(5, 2),
		mov.reg(2, KIND),
		sub.reg(2, 3),
		mul.reg(2, 5),
		add.reg(3, 2),
		store(4, FP, STACK.protocol, 3),
	);
	code.step(
		`not more than ${EXTENSION_LIMIT} of them`,
		load(8, 2, FP, STACK.walked),
		jeq.imm(2, EXTENSION_LIMIT, "v6_chain_long"),
		add.imm(2, 1),
		store(8, FP, STACK.walked, 2),
	);
	code.step(
		"read its first bytes: two, or four of a routing or fragment header",
		...loadPacketEnd(5, target),
		mov.reg(2, TRANSPORT),
		add.imm(2, 4),
		jgt.reg(2, 5, `${at}_short`),
		...copyFromPacket(target.hook, TRANSPORT, STACK.scratch, 4),
		jne.imm(0, 0, "v6_chain_cut"),
		ja(`${at}_size`),
	);
	code.label(`${at}_short`);
	code.step(
		"only two are left",
		jeq.imm(KIND, EXTENSION_HEADER.routing, "v6_chain_cut"),
		jeq.imm(KIND, EXTENSION_HEADER.fragment, "v6_chain_cut"),
		add.imm(2, -2),
		jgt.reg(2, 5, "v6_chain_cut"),
		...copyFromPacket(target.hook, TRANSPORT, STACK.scratch, 2),
		jne.imm(0, 0, "v6_chain_cut"),
	);
	code.label(`${at}_size`);
	code.step(
		"of which kind is it? Their numbers differ in the lower six bits",
		mov.reg(4, KIND),
		and.imm(4, 63),
	);
	code.step(
		"a later fragment has no transport header; a first one's header says nothing of its size, which is 8",
		...isKind(3, 4, EXTENSION_HEADER.fragment),
		load(2, 5, FP, STACK.scratch + 2),
		and.imm(5, FRAGMENT_OFFSET_MASK),
		mul.reg(5, 3),
		jne.imm(5, 0, "v6_later_fragment"),
		xor.imm(3, 1),
		load(1, 2, FP, STACK.scratch + 1),
		mul.reg(2, 3),
	);
	code.step(
		"(said + 1) * 8 bytes; AH says it in units of four: (said + 2) * 4",
		...isKind(3, 4, EXTENSION_HEADER.authentication),
		add.imm(2, 1),
		add.reg(2, 3),
		xor.imm(3, 3),
		lsh.reg(2, 3),
	);
	code.step(
		"a routing header with segments left?",
		...isKind(3, 4, EXTENSION_HEADER.routing),
		load(1, 5, FP, STACK.scratch + 3),
		add.imm(5, 0xff),
		rsh.imm(5, 8),
		and.reg(3, 5),
		mul.imm(3, KIND_BIT.routedFurther),
		load(4, 5, FP, STACK.hasPorts),
		or.reg(5, 3),
		store(4, FP, STACK.hasPorts, 5),
	);
	code.step("go on to the next header", add.reg(TRANSPORT, 2), load(1, KIND, FP, STACK.scratch), ja(at));
}

/** `dst` = 1 if the lower six bits of an extension header's number, in `bits`, are those of `header`, else 0. */
function isKind(dst: Register, bits: Register, header: number): Instruction[] {
	return [loadImm64(dst, 1n << BigInt(header)), rsh.reg(dst, bits), and.imm(dst, 1)];
}

/** be16 offset field of the fragment header without its reserved and M bits, as a little-endian load sees it. */
const FRAGMENT_OFFSET_MASK = 0xf8ff;

function emitWalkEnds(code: Code): void {
	code.label("v6_later_fragment");
	code.step(
		"later fragment: -p sees the header that the fragment header names, unless that is an extension header",
		load(1, 2, FP, STACK.scratch),
		mov.reg(KIND, 2),
		or.imm(KIND, KIND_BIT.laterFragment),
		load(4, 3, FP, STACK.protocol),
		...skipUnlessUnset(3, "v6_dispatch"),
		jge.imm(2, 64, "v6_later_protocol"),
		loadImm64(3, KERNEL_WALKS),
		rsh.reg(3, 2),
		jset.imm(3, 1, "v6_dispatch"),
	);
	code.label("v6_later_protocol");
	code.step("what -p sees", store(4, FP, STACK.protocol, 2), ja("v6_dispatch"));
	code.label("v6_chain_cut");
	code.step(
		"the chain is cut short",
		mov.imm(KIND, KIND_BIT.laterFragment | KIND_BIT.chainCut),
		ja("v6_dispatch"),
	);
	code.label("v6_chain_long");
	code.step(
		"the chain is too long",
		mov.imm(KIND, KIND_BIT.laterFragment | KIND_BIT.chainLong),
		ja("v6_dispatch"),
	);
}

/** Goes to `label` when the register holds a protocol already. */
function skipUnlessUnset(register: 2 | 3, label: string): Instruction[] {
	return [jne.imm32(register, NO_PROTOCOL | 0, label)];
}
