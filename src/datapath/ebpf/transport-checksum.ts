/**
 * The transport checksum after the address has changed, and the port with its checksum.
 *
 * At tc the kernel's own helper does it: the checksum may be only half of one (CHECKSUM_PARTIAL), or the
 * card's sum of the whole packet may have to follow (CHECKSUM_COMPLETE). At XDP there is only the field.
 */
import {
	add,
	and,
	type Instruction,
	ja,
	jeq,
	jgt,
	jne,
	load,
	mov,
	store,
	storeImm,
} from "../../bpf/asm/index.ts";
import type { Family } from "../../model/address.ts";
import { PROTOCOL_NUMBER } from "../../model/rule.ts";
import type { Code } from "./code.ts";
import { emitCount } from "./count.ts";
import { CTX, DIFFERENCE, FP, KIND, KIND_BIT, STACK, TRANSPORT } from "./frame.ts";
import { CONTEXT, type CompileTarget, copyFromPacket, helper, loadContext, loadPacketEnd } from "./hook.ts";
import { MALFORMED_SLOT } from "./interface-rules.ts";
import { IPV4_HEADER_BYTES } from "./parse-ipv4.ts";
import { IPV6_HEADER_BYTES } from "./parse-ipv6.ts";
import { addToChecksum } from "./rewrite-address.ts";

/** Flags of bpf_l4_csum_replace, uapi/linux/bpf.h; the low four bits are the size of the change (0: a difference). */
const FLAG = { BPF_F_PSEUDO_HDR: 0x10, BPF_F_MARK_MANGLED_0: 0x20, BPF_F_IPV6: 0x80 } as const;

interface Checksummed {
	readonly name: string;
	readonly protocol: number;
	/** Of the checksum in its header. */
	readonly offset: number;
	readonly families: readonly Family[];
	/** UDP: 0 on the wire means "no checksum", so 0 stays 0 and a computed 0 is sent as 0xffff. */
	readonly zeroMeansNone?: true;
	/** UDP-Lite: a computed 0 is sent as 0xffff, but 0 means nothing special. */
	readonly neverZero?: true;
}

const BOTH: readonly Family[] = ["ipv4", "ipv6"];

/** Protocols whose checksum covers a pseudo-header with the destination; the commonest first. */
const CHECKSUMMED: readonly Checksummed[] = [
	{ name: "TCP", protocol: PROTOCOL_NUMBER.tcp, offset: 16, families: BOTH },
	{ name: "UDP", protocol: PROTOCOL_NUMBER.udp, offset: 6, families: BOTH, zeroMeansNone: true },
	{ name: "ICMPv6", protocol: PROTOCOL_NUMBER.icmpv6, offset: 2, families: ["ipv6"] },
	{ name: "UDP-Lite", protocol: PROTOCOL_NUMBER.udplite, offset: 6, families: BOTH, neverZero: true },
	{ name: "DCCP", protocol: PROTOCOL_NUMBER.dccp, offset: 6, families: BOTH },
	{ name: "OSPFv3", protocol: PROTOCOL_NUMBER.ospf, offset: 12, families: ["ipv6"] },
];

export interface ChecksumContext {
	readonly family: Family;
	readonly target: CompileTarget;
	/** Keeps labels of several copies apart. */
	readonly prefix: string;
	/** Where to go on. */
	readonly done: string;
}

/** DIFFERENCE → the transport checksum of the packet, if KIND says that it has one to update. */
export function emitTransportChecksum(code: Code, context: ChecksumContext): void {
	const { family, target, prefix } = context;
	const protocols = CHECKSUMMED.filter(({ families }) => families.includes(family));
	const none = `${prefix}_no_checksum`;
	code.step(
		"which transport checksum?",
		...protocols.map(({ protocol }) => jeq.imm(KIND, protocol, `${prefix}_${protocol}`)),
		ja(none),
	);
	for (const protocol of protocols) {
		code.label(`${prefix}_${protocol.protocol}`);
		emitBoundCheck(code, context, protocol);
		if (target.hook === "tc") emitWithHelper(code, context, protocol);
		else emitByHand(code, context, protocol);
	}
	code.label(none);
	emitUncovered(code, context);
	emitMalformed(code, context);
}

/** `r2 = offset of the checksum field`; leaves for the "cut" label when the packet ends before its end. */
function emitBoundCheck(
	code: Code,
	{ target, prefix }: ChecksumContext,
	{ name, offset }: Checksummed,
): void {
	code.step(
		`${name}: is its checksum in the packet?`,
		...loadPacketEnd(3, target),
		mov.reg(2, TRANSPORT),
		add.imm(2, offset + 2),
		jgt.reg(2, 3, `${prefix}_cut`),
		add.imm(2, -2),
	);
}

function emitWithHelper(code: Code, context: ChecksumContext, protocol: Checksummed): void {
	const { family, target, done } = context;
	const flags =
		FLAG.BPF_F_PSEUDO_HDR |
		(protocol.zeroMeansNone ? FLAG.BPF_F_MARK_MANGLED_0 : 0) |
		(family === "ipv6" && target.ipv6ChecksumFlag ? FLAG.BPF_F_IPV6 : 0);
	if (family === "ipv6" && !target.ipv6ChecksumFlag) {
		// Without BPF_F_IPV6 the helper changes the card's sum as for IPv4, where the header checksum makes up
		// for the address. Adding the address first leaves that sum as it was, which is right for IPv6.
		code.step(
			"tell the sum of the whole packet of the address (before Linux 6.16)",
			store(4, FP, STACK.scratch, 2),
			mov.reg(1, CTX),
			mov.reg(2, DIFFERENCE),
			helper("bpf_csum_update"),
			load(4, 2, FP, STACK.scratch),
		);
	}
	code.step(
		`update the ${protocol.name} checksum`,
		mov.reg(1, CTX),
		mov.imm(3, 0),
		mov.reg(4, DIFFERENCE),
		mov.imm(5, flags),
		helper("bpf_l4_csum_replace"),
	);
	if (protocol.neverZero) emitNeverZero(code, context, protocol.offset);
	code.step("done", ja(done));
}

/** A checksum field that came out as 0 is sent as 0xffff. */
function emitNeverZero(code: Code, { done }: ChecksumContext, offset: number): void {
	const at = [mov.reg(2, TRANSPORT), add.imm(2, offset)];
	code.step(
		"a computed 0 is sent as 0xffff",
		...at,
		...copyFromPacket("tc", 2, STACK.scratch, 2),
		jne.imm(0, 0, done),
		load(2, 2, FP, STACK.scratch),
		jne.imm(2, 0, done),
		storeImm(2, FP, STACK.scratch, -1),
		mov.reg(1, CTX),
		...at,
		mov.reg(3, FP),
		add.imm(3, STACK.scratch),
		mov.imm(4, 2),
		mov.imm(5, 0),
		helper("bpf_skb_store_bytes"),
	);
}

/** XDP: directly where the transport header follows a plain header, else by copying the field out and in. */
function emitByHand(code: Code, context: ChecksumContext, protocol: Checksummed): void {
	const { family, target, prefix, done } = context;
	const { offset, name } = protocol;
	const plain = target.linkHeaderBytes + (family === "ipv4" ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES);
	const far = `${prefix}_${protocol.protocol}_far`;
	const zeroStays = protocol.zeroMeansNone && family === "ipv4";
	code.step(
		`update the ${name} checksum`,
		jne.imm(TRANSPORT, plain, far),
		loadContext(5, CONTEXT.xdp.data),
		loadContext(3, CONTEXT.xdp.dataEnd),
		mov.reg(2, 5),
		add.imm(2, plain + offset + 2),
		jgt.reg(2, 3, done),
		...(zeroStays ? [load(2, 2, 5, plain + offset), jeq.imm(2, 0, done)] : []),
		mov.reg(3, DIFFERENCE),
		...addToChecksum(5, plain + offset, 3, 2),
		...mangledZero(protocol, done, 5, plain + offset),
		ja(done),
	);
	code.label(far);
	code.step(
		`the same behind options or extension headers`,
		store(4, FP, STACK.key, 2),
		...copyFromPacket("xdp", 2, STACK.scratch, 2),
		jne.imm(0, 0, done),
		...(zeroStays ? [load(2, 2, FP, STACK.scratch), jeq.imm(2, 0, done)] : []),
		mov.reg(3, DIFFERENCE),
		...addToChecksum(FP, STACK.scratch, 3, 2),
		...(protocol.zeroMeansNone || protocol.neverZero
			? [and.imm(3, 0xffff), jne.imm(3, 0, `${far}_store`), storeImm(2, FP, STACK.scratch, -1)]
			: []),
	);
	code.label(`${far}_store`);
	code.step(
		"write it back",
		load(4, 2, FP, STACK.key),
		mov.reg(1, CTX),
		mov.reg(3, FP),
		add.imm(3, STACK.scratch),
		mov.imm(4, 2),
		helper("bpf_xdp_store_bytes"),
		ja(done),
	);
}

function mangledZero(protocol: Checksummed, done: string, base: 5, offset: number): Instruction[] {
	if (!protocol.zeroMeansNone && !protocol.neverZero) return [];
	return [and.imm(3, 0xffff), jne.imm(3, 0, done), storeImm(2, base, offset, -1)];
}

/**
 * No transport checksum follows the address. In IPv4 the header checksum makes up for it; in IPv6 nothing
 * does, and the card's sum of the whole packet has to be told.
 */
function emitUncovered(code: Code, { family, target }: ChecksumContext): void {
	if (family !== "ipv6" || target.hook !== "tc") return;
	code.step(
		"no checksum follows the address: tell the sum of the whole packet",
		mov.reg(1, CTX),
		mov.reg(2, DIFFERENCE),
		helper("bpf_csum_update"),
	);
}

/** Counts why the transport header was out of reach. */
function emitMalformed(code: Code, context: ChecksumContext): void {
	const { family, target, prefix, done } = context;
	const transport = mov.reg(2, KIND);
	code.step(
		"SCTP: cut before its ports?",
		transport,
		and.imm(2, ~KIND_BIT.routedFurther),
		jne.imm(2, PROTOCOL_NUMBER.sctp, `${prefix}_reason`),
		...loadPacketEnd(3, target),
		mov.reg(2, TRANSPORT),
		add.imm(2, 4),
		jgt.reg(2, 3, `${prefix}_count_cut`),
		ja(done),
	);
	code.label(`${prefix}_reason`);
	if (family === "ipv6") {
		code.step(
			"a broken chain of extension headers?",
			mov.reg(2, KIND),
			and.imm(2, KIND_BIT.chainCut | KIND_BIT.chainLong),
			jeq.imm(2, KIND_BIT.chainCut, `${prefix}_count_chain_cut`),
			jeq.imm(2, KIND_BIT.chainLong, `${prefix}_count_chain_long`),
		);
		emitRoutedCut(code, context);
	}
	code.step("nothing wrong", ja(done));
	code.label(`${prefix}_cut`);
	emitUncovered(code, context);
	code.label(`${prefix}_count_cut`);
	if (family === "ipv6") {
		code.step(
			"cut behind an extension header that reaches past the end: the chain is what is cut",
			...loadPacketEnd(3, target),
			jgt.reg(TRANSPORT, 3, `${prefix}_count_chain_cut`),
		);
	}
	emitCount(code, "count: transport header cut short", MALFORMED_SLOT["transport-cut"]);
	code.step("done", ja(done));
	if (family === "ipv6") {
		code.label(`${prefix}_count_chain_cut`);
		emitCount(code, "count: chain of extension headers cut short", MALFORMED_SLOT["extension-chain-cut"]);
		code.step("done", ja(done));
		code.label(`${prefix}_count_chain_long`);
		emitCount(code, "count: chain of extension headers too long", MALFORMED_SLOT["extension-chain-long"]);
		code.step("done", ja(done));
	}
}

/** Packets whose checksum is left alone for another reason may be cut short as well. */
function emitRoutedCut(code: Code, { family, target, prefix, done }: ChecksumContext): void {
	const cut = `${prefix}_count_cut`;
	code.step(
		"left alone, but cut short all the same?",
		mov.reg(4, KIND),
		and.imm(4, 0xff),
		mov.reg(2, KIND),
		and.imm(2, KIND_BIT.laterFragment),
		jne.imm(2, 0, done),
		...loadPacketEnd(3, target),
	);
	emitEndChecks(code, family, () => true, cut);
}

/**
 * For the protocol in r4, of those that `concerned` picks: goes to `cut` when the checksum ends behind the
 * packet end in r3, else does what `present` gives for the checksum's offset. Falls through for the others.
 */
function emitEndChecks(
	code: Code,
	family: Family,
	concerned: (protocol: number) => boolean,
	cut: string,
	present: (offset: number) => readonly Instruction[] = () => [],
): void {
	for (const { name, protocol, offset, families } of CHECKSUMMED) {
		if (!families.includes(family) || !concerned(protocol)) continue;
		const next = code.fresh("not");
		code.step(
			`${name}?`,
			jne.imm(4, protocol, next),
			mov.reg(2, TRANSPORT),
			add.imm(2, offset + 2),
			jgt.reg(2, 3, cut),
			...present(offset),
		);
		code.label(next);
	}
}

/** `--set-dport`: STACK.portWritable := whether this packet has a port whose checksum can follow. */
export function emitPortWritable(
	code: Code,
	{ family, target }: Pick<ChecksumContext, "family" | "target">,
): void {
	const done = code.fresh("writable");
	code.step(
		"can its port be set?",
		storeImm(4, FP, STACK.portWritable, 0),
		mov.reg(4, KIND),
		and.imm(4, ~(KIND_BIT.routedFurther | KIND_BIT.noChecksum)),
		...loadPacketEnd(3, target),
	);
	emitEndChecks(code, family, hasPorts, done, (offset) => [
		storeImm(4, FP, STACK.portWritable, offset),
		ja(done),
	]);
	code.label(done);
}

function hasPorts(protocol: number): boolean {
	return protocol !== PROTOCOL_NUMBER.icmpv6 && protocol !== PROTOCOL_NUMBER.ospf;
}
