/**
 * What differs between the places where a program can hang: how it asks for the packet and its context, how
 * it reads and writes behind proven bounds, and how it keeps checksums right.
 */
import {
	add,
	call,
	HELPER_FUNCTIONS,
	type HelperName,
	type Instruction,
	load,
	mov,
	type Register,
	sub,
	xor,
} from "../../bpf/asm/index.ts";
import { CTX, FP, STACK } from "./frame.ts";
import type { ReportTarget } from "./report.ts";

export type HookKind = "tc" | "xdp";

/** What a program is compiled for, beside its rules. */
export interface CompileTarget {
	readonly hook: HookKind;
	/** Bytes in front of the network header: 14 (Ethernet) or 0 (tun, WireGuard, PPP …). */
	readonly linkHeaderBytes: 0 | 14;
	/** bpf_l4_csum_replace knows BPF_F_IPV6 (Linux 6.16+). Only tc asks. */
	readonly ipv6ChecksumFlag: boolean;
	/** Report what would be rewritten, and rewrite nothing (report.ts). Only tc. */
	readonly report?: ReportTarget;
}

/** Offsets in struct __sk_buff and struct xdp_md, uapi/linux/bpf.h. */
export const CONTEXT = {
	tc: {
		length: 0,
		packetType: 4,
		mark: 8,
		protocol: 16,
		vlanPresent: 20,
		vlanTci: 24,
		data: 76,
		dataEnd: 80,
		gsoSize: 176,
	},
	xdp: { data: 0, dataEnd: 4 },
} as const;

/** What the program returns for every packet: carry on, with the next program or up the stack. */
export const VERDICT = {
	/** TC_ACT_UNSPEC, which is TCX_NEXT at tcx and "next filter" at clsact. */
	tc: -1,
	/** XDP_PASS */
	xdp: 2,
} as const;

export function helper(name: HelperName): Instruction {
	return call(HELPER_FUNCTIONS[name].id);
}

/**
 * Changes nothing but what the verifier knows: it follows each way through the headers on its own as long as
 * registers differ in constants, and exclusive-or with a number that it does not know, twice, takes it that.
 */
export function forget(register: Register, unknown: Register): Instruction[] {
	return [xor.reg(register, unknown), xor.reg(register, unknown)];
}

/** `dst = context->field`, 32 bits (pointers included: the verifier makes them whole). */
export function loadContext(dst: Register, offset: number): Instruction {
	return load(4, dst, CTX, offset);
}

/** Copies `bytes` of the packet at the offset in `from` to the stack; r0 is 0 if they were there. */
export function copyFromPacket(
	hook: HookKind,
	from: Register,
	stackOffset: number,
	bytes: number,
): Instruction[] {
	return [
		mov.reg(1, CTX),
		mov.reg(2, from),
		...(hook === "tc"
			? [mov.reg(3, FP), add.imm(3, stackOffset), mov.imm(4, bytes), helper("bpf_skb_load_bytes")]
			: [mov.reg(3, FP), add.imm(3, stackOffset), mov.imm(4, bytes), helper("bpf_xdp_load_bytes")]),
	];
}

/** `dst = bytes from the network header to the end of what arrived` (link-layer padding included). */
export function loadArrivedBytes(dst: Register, scratch: Register, target: CompileTarget): Instruction[] {
	const link = target.linkHeaderBytes === 0 ? [] : [sub.imm(dst, target.linkHeaderBytes)];
	if (target.hook === "tc") return [loadContext(dst, CONTEXT.tc.length), ...link];
	return [
		loadContext(dst, CONTEXT.xdp.dataEnd),
		loadContext(scratch, CONTEXT.xdp.data),
		sub.reg(dst, scratch),
		...link,
	];
}

/** `dst = end of the IP packet`, as an offset from the start of the packet. */
export function loadPacketEnd(dst: Register, target: CompileTarget): Instruction[] {
	const link = target.linkHeaderBytes === 0 ? [] : [add.imm(dst, target.linkHeaderBytes)];
	return [load(4, dst, FP, STACK.length), ...link];
}
