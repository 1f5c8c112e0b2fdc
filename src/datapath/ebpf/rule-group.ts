/**
 * Straight-line code for DSCPs that have more than one plain rule: every rule in order, each seeing the
 * destination, DSCP and port as the ones before left them. The packet itself is written once, at the end.
 */
import {
	add,
	and,
	type Instruction,
	ja,
	jeq,
	jne,
	jset,
	load,
	mov,
	or,
	store,
	storeImm,
	toBigEndian,
	xor,
} from "../../bpf/asm/index.ts";
import { type Family, type Prefix, prefixContains } from "../../model/address.ts";
import type { DaddrTarget } from "../../model/rule.ts";
import type { Code } from "./code.ts";
import {
	asksForLocal,
	asksForPorts,
	type ConditionContext,
	emitConditions,
	emitLoadPorts,
	loadArrivedTos,
} from "./conditions.ts";
import { emitCount } from "./count.ts";
import type { DispatchGroup } from "./dispatch.ts";
import { emitDscpTree } from "./dscp-tree.ts";
import { ACTION, CTX, FP, KIND, PACKET, STACK, TRANSPORT } from "./frame.ts";
import { type CompileTarget, copyFromPacket, forget, type HookKind, helper } from "./hook.ts";
import { emitLocal } from "./local-addresses.ts";
import { IPV4 } from "./parse-ipv4.ts";
import { IPV6 } from "./parse-ipv6.ts";
import { loadDscp, PASS } from "./parse-link.ts";
import { addToChecksum, emitClearDscp, emitRewriteAddress } from "./rewrite-address.ts";
import { emitPortWritable, emitTransportChecksum } from "./transport-checksum.ts";

/** BPF_F_RECOMPUTE_CSUM of bpf_skb_store_bytes; size and flags of bpf_l4_csum_replace. */
const FLAG = { BPF_F_RECOMPUTE_CSUM: 1, twoBytes: 2, BPF_F_MARK_MANGLED_0: 0x20 } as const;
const UDP = 17;
const UDPLITE = 136;

export interface GroupsContext {
	readonly family: Family;
	readonly target: CompileTarget;
	/** The host's own prefixes of this family. */
	readonly local: readonly Prefix[];
	/** Keeps labels of the two families apart. */
	readonly prefix: string;
}

/** What some rule of the groups needs, and so all of them have ready. */
interface Needs {
	readonly setsPort: boolean;
	readonly clears: boolean;
	readonly local: boolean;
}

/** All groups of one family: what they compare is made ready, the group's rules run, the packet is written. */
export function emitGroups(code: Code, groups: readonly DispatchGroup[], context: GroupsContext): void {
	const { family, target, prefix } = context;
	const rules = groups.flatMap((group) => group.rules.map(({ rule }) => rule.rule));
	const needs = {
		setsPort: rules.some((rule) => rule.target.dport !== undefined),
		clears: rules.some((rule) => rule.target.clearDscp),
		local: rules.some(asksForLocal),
	};
	emitJoinPaths(code, family);
	emitMakeReady(code, context, needs);
	if (groups.length > 1) {
		code.step("which rules does this DSCP have?", ...loadDscp(family, target.linkHeaderBytes));
		const labels = new Map(
			groups.flatMap(({ dscps }, i) => dscps.map((one) => [one, groupLabel(prefix, i)] as const)),
		);
		emitDscpTree(code, labels);
	}
	groups.forEach((group, index) => {
		code.label(groupLabel(prefix, index));
		emitRules(code, group, context, needs, groupLabel(prefix, index));
		if (index < groups.length - 1) code.step("all rules seen", ja(`${prefix}_write`));
	});
	code.label(`${prefix}_write`);
	emitWrite(code, context, needs);
}

function groupLabel(prefix: string, index: number): string {
	return `${prefix}_group_${index + 1}`;
}

/** So that the verifier goes through the rules once, not once for each way through the headers. */
function emitJoinPaths(code: Code, family: Family): void {
	code.step(
		"let the verifier forget by which way it came",
		load(4, 2, FP, STACK.length),
		...forget(KIND, 2),
		...forget(TRANSPORT, 2),
		...(family === "ipv6"
			? [load(4, 3, FP, STACK.protocol), ...forget(3, 2), store(4, FP, STACK.protocol, 3)]
			: []),
	);
}

/** Destination, TOS byte and whether the destination is ours, as rules compare them. */
function emitMakeReady(code: Code, context: GroupsContext, needs: Needs): void {
	const { family, target, prefix, local } = context;
	const link = target.linkHeaderBytes;
	code.step("nothing asked for yet", storeImm(4, FP, STACK.actions, 0));
	emitLoadDestination(code, family, link);
	if (needs.clears) {
		code.step(
			"the TOS byte, as rules compare it",
			...loadArrivedTos(family, link),
			store(4, FP, STACK.tos, 2),
		);
	}
	if (needs.local) {
		const known = `${prefix}_local_known`;
		code.step("suppose that the destination is not this host's", storeImm(4, FP, STACK.destinationLocal, 0));
		emitLocal(code, { family, local }, known);
		code.step("it is", storeImm(4, FP, STACK.destinationLocal, 1));
		code.label(known);
	}
	if (needs.setsPort) {
		code.step(
			"no port can be set yet",
			storeImm(4, FP, STACK.portWritable, 0),
			storeImm(4, FP, STACK.arrivedPort, 0),
			storeImm(4, FP, STACK.sourcePort, 0),
		);
	}
}

/** The rules of one group in order, each seeing what the ones before it left. */
function emitRules(
	code: Code,
	group: DispatchGroup,
	context: GroupsContext,
	needs: Needs,
	label: string,
): void {
	const { family, target } = context;
	const conditions: ConditionContext = { target, family, tosOnStack: needs.clears };
	const rules = group.rules.map(({ rule }) => rule.rule);
	const setsPort = rules.some((rule) => rule.target.dport !== undefined);
	if (setsPort || rules.some(asksForPorts)) emitLoadPorts(code, conditions);
	if (setsPort) emitPortWritable(code, context);
	group.rules.forEach(({ rule, checkDscp }, index) => {
		const miss = `${label}_rule_${index + 1}_end`;
		emitConditions(code, rule.rule, conditions, checkDscp, miss);
		emitCount(code, `rule ${rule.ordinal} (${rule.rule.target.daddr.text}) matches: count`, rule.slot);
		emitRemember(code, rule.rule.target, context, needs);
		code.label(miss);
	});
}

/** Everything that the rules asked for, written into the packet. */
function emitWrite(code: Code, { family, target, prefix }: GroupsContext, needs: Needs): void {
	code.step("no rule matched: leave the packet alone", load(4, 2, FP, STACK.actions), jeq.imm(2, 0, PASS));
	if (needs.clears) {
		const kept = `${prefix}_dscp_kept`;
		const clear = `${prefix}_clear`;
		code.step("was the DSCP cleared?", jset.imm(2, ACTION.clearDscp, clear), ja(kept));
		code.label(clear);
		emitClearDscp(code, family, target);
		code.label(kept);
	}
	emitRewriteAddress(code, family, target, { base: FP, offset: STACK.address, sumOffset: STACK.addressSum });
	const done = needs.setsPort ? `${prefix}_port` : PASS;
	emitTransportChecksum(code, { family, target, prefix, done });
	if (needs.setsPort) emitSetPort(code, { target, prefix });
}

/** STACK.address := the destination of the header at PACKET. */
export function emitLoadDestination(code: Code, family: Family, link: number): void {
	const words = family === "ipv4" ? 1 : 4;
	const destination = link + (family === "ipv4" ? IPV4.destination : IPV6.destination);
	code.step(
		"the destination, as rules compare it",
		...Array.from({ length: words }, (_, i) => [
			load(4, 2, PACKET, destination + 4 * i),
			store(4, FP, STACK.address + 4 * i, 2),
		]).flat(),
	);
}

/** What a rule that matched asks for, for the rules after it and for the end. */
function emitRemember(
	code: Code,
	target: DaddrTarget,
	{ local }: Pick<GroupsContext, "local">,
	needs: Needs,
): void {
	const { bytes, family } = target.daddr;
	const actions = ACTION.rewrite | (target.clearDscp ? ACTION.clearDscp : 0);
	const isLocal = local.some((prefix) => prefixContains(prefix, target.daddr));
	code.step(
		`destination := ${target.daddr.text}`,
		...words(bytes).map((word, i) => storeImm(4, FP, STACK.address + 4 * i, word)),
		...(family === "ipv6" ? [storeImm(4, FP, STACK.addressSum, foldedSum(bytes))] : []),
		...(needs.local ? [storeImm(4, FP, STACK.destinationLocal, isLocal ? 1 : 0)] : []),
		load(4, 2, FP, STACK.actions),
		or.imm(2, actions),
		store(4, FP, STACK.actions, 2),
	);
	if (target.clearDscp) {
		code.step("DSCP := 0", load(4, 2, FP, STACK.tos), and.imm(2, 0x03), store(4, FP, STACK.tos, 2));
	}
	if (target.dport !== undefined) {
		const fixed = code.fresh("port_kept");
		code.step(
			`destination port := ${target.dport}`,
			load(4, 2, FP, STACK.portWritable),
			jeq.imm(2, 0, fixed),
			mov.imm(2, target.dport),
			toBigEndian(16, 2),
			store(2, FP, STACK.destinationPort, 2),
			load(4, 2, FP, STACK.actions),
			or.imm(2, ACTION.setPort),
			store(4, FP, STACK.actions, 2),
		);
		code.label(fixed);
	}
}

/** The port and its checksum; the address has been done. STACK.portWritable is the checksum's place. */
function emitSetPort(code: Code, { target, prefix }: Pick<GroupsContext, "target" | "prefix">): void {
	const checked = `${prefix}_port_checked`;
	code.label(`${prefix}_port`);
	code.step(
		"was a port set?",
		load(4, 2, FP, STACK.actions),
		jset.imm(2, ACTION.setPort, `${prefix}_set_port`),
		ja(PASS),
	);
	code.label(`${prefix}_set_port`);
	code.step(
		"fetch the checksum",
		...checksumOffset(),
		...copyFromPacket(target.hook, 2, STACK.scratch, 2),
		jne.imm(0, 0, PASS),
	);
	code.step(
		"UDP without checksum: only the port",
		...jumpUnlessProtocol(UDP, checked),
		load(2, 2, FP, STACK.scratch),
		jne.imm(2, 0, checked),
		...storePort(target, FLAG.BPF_F_RECOMPUTE_CSUM),
		ja(PASS),
	);
	code.label(checked);
	code.step("store the port", ...storePort(target, 0));
	if (target.hook === "tc") emitPortChecksumWithHelper(code, prefix);
	else emitPortChecksumByHand(code, prefix);
}

function emitPortChecksumWithHelper(code: Code, prefix: string): void {
	const replace = `${prefix}_port_replace`;
	code.step(
		"update the checksum for the port",
		...checksumOffset(),
		mov.reg(1, CTX),
		load(2, 3, FP, STACK.arrivedPort),
		load(2, 4, FP, STACK.destinationPort),
		mov.imm(5, FLAG.twoBytes),
		mov.reg(0, KIND),
		and.imm(0, 0xff),
		jne.imm(0, UDP, replace),
		or.imm(5, FLAG.BPF_F_MARK_MANGLED_0),
	);
	code.label(replace);
	code.step("the checksum may be partial, or the card's", helper("bpf_l4_csum_replace"));
	code.step(
		"UDP-Lite: a computed 0 is sent as 0xffff",
		...jumpUnlessProtocol(UDPLITE, PASS),
		...checksumOffset(),
		...copyFromPacket("tc", 2, STACK.scratch, 2),
		jne.imm(0, 0, PASS),
		load(2, 2, FP, STACK.scratch),
		jne.imm(2, 0, PASS),
		storeImm(2, FP, STACK.scratch, -1),
		...checksumOffset(),
		...storeFromStack("tc", STACK.scratch, 0),
		ja(PASS),
	);
}

function emitPortChecksumByHand(code: Code, prefix: string): void {
	const write = `${prefix}_port_write`;
	const mangle = `${prefix}_port_mangle`;
	code.step(
		"update the checksum for the port",
		load(2, 3, FP, STACK.destinationPort),
		load(2, 4, FP, STACK.arrivedPort),
		xor.imm(4, 0xffff),
		add.reg(3, 4),
		...addToChecksum(FP, STACK.scratch, 3, 2),
		and.imm(3, 0xffff),
		jne.imm(3, 0, write),
		...protocolInto(2),
		jeq.imm(2, UDP, mangle),
		jne.imm(2, UDPLITE, write),
	);
	code.label(mangle);
	code.step("a computed 0 is sent as 0xffff", storeImm(2, FP, STACK.scratch, -1));
	code.label(write);
	code.step("write it back", ...checksumOffset(), ...storeFromStack("xdp", STACK.scratch, 0), ja(PASS));
}

/** `r2 = offset of the checksum`. Loses r3. */
function checksumOffset(): Instruction[] {
	return [mov.reg(2, TRANSPORT), load(4, 3, FP, STACK.portWritable), add.reg(2, 3)];
}

function protocolInto(register: 2): Instruction[] {
	return [mov.reg(register, KIND), and.imm(register, 0xff)];
}

function jumpUnlessProtocol(protocol: number, label: string): Instruction[] {
	return [...protocolInto(2), jne.imm(2, protocol, label)];
}

function storePort({ hook }: CompileTarget, flags: number): Instruction[] {
	return [mov.reg(2, TRANSPORT), add.imm(2, 2), ...storeFromStack(hook, STACK.destinationPort, flags)];
}

/** Two bytes of the stack to the packet at the offset in r2. */
function storeFromStack(hook: HookKind, stackOffset: number, flags: number): Instruction[] {
	return [
		mov.reg(1, CTX),
		mov.reg(3, FP),
		add.imm(3, stackOffset),
		mov.imm(4, 2),
		...(hook === "tc" ? [mov.imm(5, flags), helper("bpf_skb_store_bytes")] : [helper("bpf_xdp_store_bytes")]),
	];
}

/** 32-bit words as a little-endian load sees them, as signed immediates. */
function words(bytes: readonly number[]): number[] {
	const view = new DataView(Uint8Array.from(bytes).buffer);
	return Array.from({ length: bytes.length / 4 }, (_, i) => view.getInt32(4 * i, true));
}

/** The ones' complement sum of the words in 32 bits, as a signed immediate. */
export function foldedSum(bytes: readonly number[]): number {
	let sum = words(bytes).reduce((total, word) => total + (word >>> 0), 0);
	while (sum > 0xffff_ffff) sum = (sum % 0x1_0000_0000) + Math.floor(sum / 0x1_0000_0000);
	return sum | 0;
}
