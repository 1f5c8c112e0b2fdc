/** The matches of a rule as code: each falls through when it holds and jumps to `miss` when it does not. */
import {
	add,
	and,
	type Instruction,
	ja,
	jeq,
	jge,
	jgt,
	jle,
	jlt,
	jne,
	jset,
	load,
	mov,
	type Register,
	rsh,
	store,
	storeImm,
	toBigEndian,
} from "../../bpf/asm/index.ts";
import { type Family, maskBytes, type Prefix } from "../../model/address.ts";
import { type Match, type NumberRange, PROTOCOL_NUMBER, type Rule } from "../../model/rule.ts";
import type { Code } from "./code.ts";
import { FP, KIND, KIND_BIT, PACKET, STACK, TRANSPORT } from "./frame.ts";
import { CONTEXT, type CompileTarget, copyFromPacket, loadContext, loadPacketEnd } from "./hook.ts";
import { IPV4 } from "./parse-ipv4.ts";
import { IPV6 } from "./parse-ipv6.ts";

/** What the conditions of a group of rules need to know beside the rule. */
export interface ConditionContext {
	readonly target: CompileTarget;
	readonly family: Family;
	/** The TOS byte is in STACK.tos, because a rule of the group may clear the DSCP. */
	readonly tosOnStack: boolean;
}

/** KIND bits that do not keep a packet from having ports. */
const PORTS_ANYWAY = KIND_BIT.routedFurther | KIND_BIT.noChecksum;

/** Whether any match of the rule looks at ports. */
export function asksForPorts(rule: Rule): boolean {
	return rule.matches.some(({ kind }) => kind === "ports" || kind === "multiport");
}

/**
 * Fills STACK.hasPorts and the ports: an unfragmented packet or first fragment of a protocol with ports,
 * both of them in the packet.
 */
export function emitLoadPorts(
	code: Code,
	{ target, family }: Pick<ConditionContext, "target" | "family">,
): void {
	const done = code.fresh("ports");
	const some = code.fresh("has_ports");
	const protocols = [6, 17, PROTOCOL_NUMBER.sctp, PROTOCOL_NUMBER.dccp, PROTOCOL_NUMBER.udplite];
	code.step(
		"does the packet have ports?",
		storeImm(4, FP, STACK.hasPorts, 0),
		mov.reg(2, KIND),
		and.imm(2, ~PORTS_ANYWAY),
		...protocols.map((protocol) => jeq.imm(2, protocol, some)),
		ja(done),
	);
	code.label(some);
	code.step(
		"load the ports",
		...loadPacketEnd(4, target),
		mov.reg(3, TRANSPORT),
		add.imm(3, 4),
		jgt.reg(3, 4, done),
		...copyFromPacket(target.hook, TRANSPORT, STACK.sourcePort, 4),
		jne.imm(0, 0, done),
		load(2, 2, FP, STACK.destinationPort),
		store(2, FP, STACK.arrivedPort, 2),
		// Behind a mobility, HIP or shim6 header there are no ports for a rule, as in the kernel.
		...(family === "ipv6"
			? [load(4, 3, FP, STACK.protocol), mov.reg(2, KIND), and.imm(2, 0xff), jne.reg(3, 2, done)]
			: []),
		storeImm(4, FP, STACK.hasPorts, 1),
	);
	code.label(done);
}

/** Whether the rule asks for `addrtype LOCAL`. */
export function asksForLocal(rule: Rule): boolean {
	return rule.matches.some(({ kind }) => kind === "addrtype");
}

/** Everything that the rule asks for, in the order of ip_tables. */
export function emitConditions(
	code: Code,
	rule: Rule,
	context: ConditionContext,
	checkDscp: boolean,
	miss: string,
): void {
	const { header } = rule;
	const { target, family } = context;
	const link = target.linkHeaderBytes;
	if (header.source !== undefined) {
		const offset = link + (family === "ipv4" ? IPV4.source : IPV6.source);
		emitPrefixes(code, "source", [header.source.prefix], header.source.negated, PACKET, offset, miss);
	}
	if (header.destination !== undefined) {
		const { prefix, negated } = header.destination;
		emitPrefixes(code, "destination", [prefix], negated, FP, STACK.address, miss);
	}
	// -i holds by construction: the program hangs at that interface.
	if (header.protocol !== undefined) emitProtocol(code, family, header.protocol, miss);
	if (header.fragment !== undefined) {
		const { negated } = header.fragment;
		const later = code.fresh("later_fragment");
		code.step(
			negated ? "no later fragment" : "a later fragment",
			jset.imm(KIND, KIND_BIT.laterFragment, negated ? miss : later),
			...(negated ? [] : [ja(miss)]),
		);
		if (!negated) code.label(later);
	}
	for (const match of rule.matches) emitMatch(code, match, context, checkDscp, miss);
}

function emitProtocol(
	code: Code,
	family: Family,
	protocol: { readonly number: number; readonly negated: boolean },
	miss: string,
): void {
	const compare = (register: Register) => (protocol.negated ? jeq : jne).imm(register, protocol.number, miss);
	if (family === "ipv4") {
		code.step(`protocol ${protocol.number}`, mov.reg(2, KIND), and.imm(2, 0xff), compare(2));
	} else {
		code.step(
			`protocol ${protocol.number}`,
			load(4, 2, FP, STACK.protocol),
			...(protocol.negated ? [jeq.imm32(2, -1, miss)] : []),
			compare(2),
		);
	}
}

function emitMatch(
	code: Code,
	match: Match,
	context: ConditionContext,
	checkDscp: boolean,
	miss: string,
): void {
	const { target, family } = context;
	const link = target.linkHeaderBytes;
	const unequal = (negated: boolean) => (negated ? jeq : jne);
	switch (match.kind) {
		case "dscp":
			if (!checkDscp) return;
			code.step(
				`DSCP ${match.dscp}`,
				...loadTos(context),
				rsh.imm(2, 2),
				unequal(match.negated).imm(2, match.dscp, miss),
			);
			return;
		case "tos":
			code.step(
				`TOS ${match.value}/${match.mask}`,
				...loadTos(context),
				and.imm(2, match.mask),
				unequal(match.negated).imm(2, match.value, miss),
			);
			return;
		case "ecn":
			code.step(
				`ECN ${match.ect}`,
				...loadTos(context),
				and.imm(2, 3),
				unequal(match.negated).imm(2, match.ect, miss),
			);
			return;
		case "mark":
			if (target.hook !== "tc") throw new Error("a packet has no mark at XDP");
			code.step(
				`mark ${match.value}/${match.mask}`,
				loadContext(2, CONTEXT.tc.mark),
				and.imm32(2, match.mask | 0),
				unequal(match.negated).imm32(2, match.value | 0, miss),
			);
			return;
		case "mac": {
			// Without an Ethernet header xt_mac says no before it looks at the `!`.
			if (link === 0) {
				code.step("no Ethernet header here", ja(miss));
				return;
			}
			const everyBit = match.source.map(() => 0xff);
			emitAnyOf(
				code,
				"source MAC",
				[{ value: match.source, mask: everyBit }],
				match.negated,
				PACKET,
				6,
				miss,
			);
			return;
		}
		case "ports": {
			const protocol = PROTOCOL_NUMBER[match.module];
			code.step(
				`${match.module} with ports`,
				...skipWithoutPorts(miss),
				mov.reg(2, KIND),
				and.imm(2, 0xff),
				jne.imm(2, protocol, miss),
			);
			if (match.source)
				emitRange(code, "source port", loadPort(STACK.sourcePort), match.source, match.source.negated, miss);
			if (match.destination) {
				const { negated } = match.destination;
				emitRange(
					code,
					"destination port",
					loadPort(STACK.destinationPort),
					match.destination,
					negated,
					miss,
				);
			}
			return;
		}
		case "multiport":
			emitMultiport(code, match, miss);
			return;
		case "addrtype":
			code.step(
				`destination is ${match.negated ? "not " : ""}this host's`,
				load(4, 2, FP, STACK.destinationLocal),
				(match.negated ? jne : jeq).imm(2, 0, miss),
			);
			return;
		case "length":
			emitRange(code, "length", [load(4, 2, FP, STACK.length)], match, match.negated, miss);
			return;
		case "ttl": {
			const offset = link + (family === "ipv4" ? IPV4.ttl : IPV6.hopLimit);
			const misses = { eq: unequal(match.negated), lt: jge, gt: jle }[match.comparison];
			code.step(
				`TTL ${match.comparison} ${match.value}`,
				load(1, 2, PACKET, offset),
				misses.imm(2, match.value, miss),
			);
			return;
		}
		case "comment":
			return;
	}
}

/** `r2 = TOS or Traffic Class as the rules so far left it` */
function loadTos({ target, family, tosOnStack }: ConditionContext): Instruction[] {
	const link = target.linkHeaderBytes;
	if (tosOnStack) return [load(4, 2, FP, STACK.tos)];
	return loadArrivedTos(family, link);
}

/** `r2 = TOS or Traffic Class byte of the header at PACKET` */
export function loadArrivedTos(family: Family, link: number): Instruction[] {
	if (family === "ipv4") return [load(1, 2, PACKET, link + IPV4.tos)];
	return [load(2, 2, PACKET, link), toBigEndian(16, 2), rsh.imm(2, 4), and.imm(2, 0xff)];
}

function skipWithoutPorts(miss: string): Instruction[] {
	return [load(4, 2, FP, STACK.hasPorts), jeq.imm(2, 0, miss)];
}

/** `r2 = port` */
function loadPort(stackOffset: number): Instruction[] {
	return [load(2, 2, FP, stackOffset), toBigEndian(16, 2)];
}

function emitMultiport(code: Code, match: Extract<Match, { kind: "multiport" }>, miss: string): void {
	const hit = code.fresh("port_listed");
	code.step("multiport: with ports", ...skipWithoutPorts(miss));
	const sides = [
		...(match.direction === "destination" ? [] : [{ name: "source", at: STACK.sourcePort }]),
		...(match.direction === "source" ? [] : [{ name: "destination", at: STACK.destinationPort }]),
	];
	for (const { name, at } of sides) {
		code.step(`${name} port`, ...loadPort(at));
		for (const range of match.ports) emitRangeTo(code, `${range.first}-${range.last}?`, range, hit);
	}
	if (match.negated) {
		const unlisted = code.fresh("port_unlisted");
		code.step("not listed", ja(unlisted));
		code.label(hit);
		code.step("listed", ja(miss));
		code.label(unlisted);
	} else {
		code.step("not listed", ja(miss));
		code.label(hit);
	}
}

/** Goes to `hit` when r2 is in the range, else falls through. */
function emitRangeTo(code: Code, comment: string, range: NumberRange, hit: string): void {
	if (range.first === range.last) {
		code.step(comment, jeq.imm(2, range.first, hit));
		return;
	}
	const below = code.fresh("below");
	code.step(comment, jlt.imm(2, range.first, below), jle.imm(2, range.last, hit));
	code.label(below);
}

/** Goes to `miss` unless the value that `loads` puts into r2 is in the range (with `negated`: if it is). */
function emitRange(
	code: Code,
	comment: string,
	loads: readonly Instruction[],
	range: NumberRange,
	negated: boolean,
	miss: string,
): void {
	const { first, last } = range;
	const text = `${comment} ${negated ? "not " : ""}${first}-${last}`;
	if (negated) {
		code.step(text, ...loads);
		emitRangeTo(code, text, range, miss);
	} else if (first === last) code.step(text, ...loads, jne.imm(2, first, miss));
	else code.step(text, ...loads, jlt.imm(2, first, miss), jgt.imm(2, last, miss));
}

/** Goes to `miss` unless the address at `base + offset` is in one of the prefixes (with `negated`: if it is). Uses r2. */
export function emitPrefixes(
	code: Code,
	comment: string,
	prefixes: readonly Prefix[],
	negated: boolean,
	base: Register,
	offset: number,
	miss: string,
): void {
	const wanted = prefixes.map(({ address, length }) => ({
		value: address.bytes,
		mask: maskBytes(address.family, length),
	}));
	emitAnyOf(code, comment, wanted, negated, base, offset, miss);
}

interface MaskedBytes {
	readonly value: readonly number[];
	readonly mask: readonly number[];
}

/** Goes to `miss` unless the bytes at `base + offset` are one of `wanted` (with `negated`: if they are). */
function emitAnyOf(
	code: Code,
	comment: string,
	wanted: readonly MaskedBytes[],
	negated: boolean,
	base: Register,
	offset: number,
	miss: string,
): void {
	const found = code.fresh("found");
	const missed = negated ? found : miss;
	wanted.forEach((one, index) => {
		const last = index === wanted.length - 1;
		const other = last ? missed : code.fresh("other");
		code.step(comment, ...jumpUnlessEqual(one, base, offset, other), ja(negated ? miss : found));
		if (!last) code.label(other);
	});
	if (wanted.length === 0) code.step(`${comment}: none`, ja(missed));
	code.label(found);
}

function jumpUnlessEqual(
	{ value, mask }: MaskedBytes,
	base: Register,
	offset: number,
	other: string,
): Instruction[] {
	const instructions: Instruction[] = [];
	for (let at = 0; at < value.length; ) {
		const size = value.length - at >= 4 ? 4 : 2;
		const wantedMask = littleEndian(mask, at, size);
		if (wantedMask !== 0) {
			instructions.push(load(size, 2, base, offset + at));
			if (wantedMask !== (size === 4 ? -1 : 0xffff)) instructions.push(and.imm32(2, wantedMask));
			instructions.push(jne.imm32(2, littleEndian(value, at, size), other));
		}
		at += size;
	}
	return instructions;
}

/** The number that a little-endian load of `size` bytes gives, as a signed 32-bit immediate. */
function littleEndian(bytes: readonly number[], at: number, size: number): number {
	let value = 0;
	for (let i = size - 1; i >= 0; i--) value = (value << 8) | (bytes[at + i] ?? 0);
	return value | 0;
}
