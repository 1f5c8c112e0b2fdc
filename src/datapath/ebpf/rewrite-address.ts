/**
 * The new destination, written into the packet, and the difference that it makes to checksums.
 *
 * Sums are of 32-bit words in the byte order of the host: a ones' complement sum does not care (RFC 1071,
 * section 2B), as long as what is added to it does likewise.
 */
import {
	add,
	and,
	type Instruction,
	load,
	mov,
	type Register,
	rsh,
	store,
	xor,
} from "../../bpf/asm/index.ts";
import type { Family } from "../../model/address.ts";
import type { Code } from "./code.ts";
import { CTX, DIFFERENCE, PACKET } from "./frame.ts";
import { type CompileTarget, helper } from "./hook.ts";
import { IPV4 } from "./parse-ipv4.ts";
import { IPV6 } from "./parse-ipv6.ts";
import { emitReport } from "./report.ts";

/** Memory that holds the new address, and for IPv6 its folded sum (u32). */
export interface NewAddress {
	readonly base: Register;
	readonly offset: number;
	readonly sumOffset: number;
	/** Where the slot (u32) of the rule is; absent: in STACK.key. */
	readonly slotOffset?: number;
}

/** Afterwards DIFFERENCE holds the 32-bit sum to add to a transport checksum; PACKET, the same register, is gone. */
export function emitRewriteAddress(
	code: Code,
	family: Family,
	target: CompileTarget,
	from: NewAddress,
): void {
	const link = target.linkHeaderBytes;
	if (target.report !== undefined) emitReport(code, family, target, target.report, from);
	else if (family === "ipv4") emitIpv4(code, link, from);
	else emitIpv6(code, link, from);
}

function emitIpv4(code: Code, link: number, { base, offset }: NewAddress): void {
	code.step(
		"store the new destination address",
		load(4, 3, base, offset),
		load(4, 4, PACKET, link + IPV4.destination),
		store(4, PACKET, link + IPV4.destination, 3),
	);
	code.step("what changes: new - old", xor.imm32(4, -1), add.reg(4, 3), ...foldTo32(4, 3));
	code.step("update the header checksum (RFC 1624)", mov.reg(3, 4), ...addToHeaderChecksum(link, 3, 2));
	code.step("keep the difference for the transport checksum", mov.reg(DIFFERENCE, 4));
}

function emitIpv6(code: Code, link: number, { base, offset, sumOffset }: NewAddress): void {
	const at = link + IPV6.destination;
	code.step(
		"sum of the old destination address",
		load(4, 2, PACKET, at),
		load(4, 3, PACKET, at + 4),
		add.reg(2, 3),
		load(4, 3, PACKET, at + 8),
		add.reg(2, 3),
		load(4, 3, PACKET, at + 12),
		add.reg(2, 3),
		...foldTo32(2, 3),
		...foldTo32(2, 3),
	);
	code.step(
		"store the new destination address",
		load(8, 3, base, offset),
		store(8, PACKET, at, 3),
		load(8, 3, base, offset + 8),
		store(8, PACKET, at + 8, 3),
	);
	code.step(
		"what changes: new - old",
		xor.imm32(2, -1),
		load(4, 3, base, sumOffset),
		add.reg(2, 3),
		...foldTo32(2, 3),
		mov.reg(DIFFERENCE, 2),
	);
}

/** DSCP := 0 in the header at PACKET, ECN kept. Loses r1-r5. */
export function emitClearDscp(code: Code, family: Family, target: CompileTarget): void {
	if (target.report !== undefined) return;
	const link = target.linkHeaderBytes;
	// be16 masks as a little-endian load sees them: the first 16 bits without the DSCP.
	const keep = family === "ipv4" ? 0x03ff : 0x3ff0;
	code.step(
		"clear the DSCP",
		load(2, 3, PACKET, link),
		mov.reg(4, 3),
		and.imm(4, keep),
		store(2, PACKET, link, 4),
		xor.imm(3, 0xffff),
		add.reg(3, 4),
	);
	if (family === "ipv4") {
		code.step("update the header checksum", ...addToHeaderChecksum(link, 3, 2));
	} else if (target.hook === "tc") {
		// No field of the packet makes up for the change: a sum that the card made (CHECKSUM_COMPLETE) has to.
		code.step("tell the sum of the whole packet", mov.reg(1, CTX), mov.reg(2, 3), helper("bpf_csum_update"));
	}
}

/** checksum = ~(~checksum + sum); `sum` holds at most 32 bits and is lost. */
function addToHeaderChecksum(link: number, sum: Register, scratch: Register): Instruction[] {
	return addToChecksum(PACKET, link + IPV4.checksum, sum, scratch);
}

/**
 * Adds `sum` (at most 32 bits) to the checksum at `base + offset`. Loses both registers; the low 16 bits of `sum`
 * are the new checksum.
 */
export function addToChecksum(
	base: Register,
	offset: number,
	sum: Register,
	scratch: Register,
): Instruction[] {
	return [
		load(2, scratch, base, offset),
		xor.imm(scratch, 0xffff),
		add.reg(sum, scratch),
		// At most 0x1_0000_fffe: folded once 0x1_fffe, and then the carry can be added without a further one.
		...foldTo17(sum, scratch),
		mov.reg(scratch, sum),
		rsh.imm(scratch, 16),
		add.reg(sum, scratch),
		xor.imm(sum, 0xffff),
		store(2, base, offset, sum),
	];
}

/** `register` (less than 2^33) to 32 bits, carry added back. */
function foldTo32(register: Register, scratch: Register): Instruction[] {
	return [
		mov.reg(scratch, register),
		rsh.imm(scratch, 32),
		mov.reg32(register, register),
		add.reg(register, scratch),
	];
}

/** `register` (less than 2^33) to 17 bits, the upper ones added to the lower. */
function foldTo17(register: Register, scratch: Register): Instruction[] {
	return [
		mov.reg(scratch, register),
		rsh.imm(scratch, 16),
		and.imm(register, 0xffff),
		add.reg(register, scratch),
	];
}
