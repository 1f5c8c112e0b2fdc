/** From the start of an IPv4 packet to: DSCP has rules, packet is readable, TRANSPORT, KIND and length known. */
import {
	add,
	and,
	ja,
	jeq,
	jgt,
	jlt,
	jne,
	load,
	lsh,
	mov,
	or,
	rsh,
	store,
	sub,
	toBigEndian,
} from "../../bpf/asm/index.ts";
import type { Code } from "./code.ts";
import { FP, KIND, KIND_BIT, PACKET, STACK, TRANSPORT } from "./frame.ts";
import { CONTEXT, type CompileTarget, loadArrivedBytes, loadContext } from "./hook.ts";
import { emitDscpFilter, emitFrameFilter, emitPacketBounds, PASS } from "./parse-link.ts";

/** struct iphdr */
export const IPV4 = {
	tos: 1,
	totalLength: 2,
	fragment: 6,
	ttl: 8,
	protocol: 9,
	checksum: 10,
	source: 12,
	destination: 16,
} as const;
export const IPV4_HEADER_BYTES = 20;

/** be16 IP_OFFSET (13 bits of fragment offset) as a little-endian load sees it. */
const FRAGMENT_OFFSET_MASK = 0xff1f;

/** Ends in jumps to `v4_dispatch`, which the caller has to place, or to PASS. */
export function emitParseIpv4(code: Code, target: CompileTarget, mask: bigint): void {
	const link = target.linkHeaderBytes;
	emitPacketBounds(code, target, "v4", link + IPV4_HEADER_BYTES);
	emitDscpFilter(code, target, "ipv4", mask);
	emitFrameFilter(code, target, "v4");
	code.step(
		"read the header length",
		mov.imm(TRANSPORT, link + IPV4_HEADER_BYTES),
		load(1, 4, PACKET, link),
		jne.imm(4, 0x45, "v4_odd_header"),
	);
	code.label("v4_header");
	code.step(
		"check the total length against what arrived",
		load(2, 5, PACKET, link + IPV4.totalLength),
		toBigEndian(16, 5),
		...loadArrivedBytes(4, 3, target),
		mov.reg(2, TRANSPORT),
		...(link === 0 ? [] : [sub.imm(2, link)]),
		jlt.reg(5, 2, "v4_odd_length"),
		jgt.reg(5, 4, PASS),
	);
	code.label("v4_length");
	code.step("keep the length of the packet", store(4, FP, STACK.length, 5));
	code.step(
		"read the protocol; a later fragment has no transport header",
		load(1, KIND, PACKET, link + IPV4.protocol),
		load(2, 2, PACKET, link + IPV4.fragment),
		and.imm(2, FRAGMENT_OFFSET_MASK),
		jeq.imm(2, 0, "v4_dispatch"),
		or.imm(KIND, KIND_BIT.laterFragment),
		ja("v4_dispatch"),
	);
	code.label("v4_odd_header");
	code.step(
		"header with options: version 4, at least 20 bytes",
		mov.reg(2, 4),
		rsh.imm(2, 4),
		jne.imm(2, 4, PASS),
		and.imm(4, 0x0f),
		lsh.imm(4, 2),
		jlt.imm(4, IPV4_HEADER_BYTES, PASS),
		mov.reg(TRANSPORT, 4),
		...(link === 0 ? [] : [add.imm(TRANSPORT, link)]),
		ja("v4_header"),
	);
	code.label("v4_odd_length");
	if (target.hook === "tc") {
		// BIG TCP: a merged packet of more than 65535 bytes has the total length 0 (iph_totlen in the kernel).
		code.step(
			"total length 0 of a merged packet: all that arrived; else unreadable",
			jne.imm(5, 0, PASS),
			mov.reg(5, 4),
			loadContext(2, CONTEXT.tc.gsoSize),
			jne.imm(2, 0, "v4_length"),
		);
	}
	code.step("unreadable", ja(PASS));
}
