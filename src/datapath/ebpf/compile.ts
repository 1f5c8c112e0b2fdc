/**
 * The rules of one interface → one program, specialised to them.
 *
 * The packet's journey: protocol → bounds → does this DSCP have rules? → VLAN → length → transport header →
 * rules → count → new address → transport checksum. What no rule needs is not in the program. Deterministic:
 * the same rules give the same bytes.
 */
import {
	add,
	exit,
	ja,
	jset,
	load,
	loadImm64,
	loadMapValue,
	mov,
	mul,
	rsh,
	slotsOf,
} from "../../bpf/asm/index.ts";
import { BPF_MAP_FLAG, type MapSpec, mapsUsed, type ProgramSpec } from "../../bpf/spec.ts";
import type { Family } from "../../model/address.ts";
import type { Rule } from "../../model/rule.ts";
import { Code } from "./code.ts";
import { emitCount } from "./count.ts";
import { bitsOf, bodiesIn, type Dispatch, DSCP_COUNT, dscpMask, planDispatch } from "./dispatch.ts";
import { COUNTER_BYTES, MAP, RULES_LAYOUT } from "./frame.ts";
import { type CompileTarget, VERDICT } from "./hook.ts";
import { encodeInterfaceRules, type InterfaceRules, SCHEMA_VERSION } from "./interface-rules.ts";
import { emitLocal, localMap } from "./local-addresses.ts";
import { emitParseIpv4 } from "./parse-ipv4.ts";
import { emitParseIpv6 } from "./parse-ipv6.ts";
import { emitProtocolDispatch, loadDscp, PASS } from "./parse-link.ts";
import { emitRewriteAddress } from "./rewrite-address.ts";
import { emitGroups, emitLoadDestination, foldedSum } from "./rule-group.ts";
import { emitTransportChecksum } from "./transport-checksum.ts";

/** The program's name in the kernel: by it, ours is found again. */
export const PROGRAM_NAME = { tc: "l3dsr_tc", xdp: "l3dsr_xdp" } as const;

const FAMILIES = ["ipv4", "ipv6"] as const;

/** Why a program at this hook cannot express a rule; undefined if it can. */
export function hookLacks(rule: Rule, hook: CompileTarget["hook"]): string | undefined {
	if (hook === "xdp" && rule.matches.some(({ kind }) => kind === "mark"))
		return "a packet has no mark yet at XDP";
	return undefined;
}

/**
 * Jumps reach 32767 slots, and the verifier's own additions (map lookups made inline, mostly of counters) count
 * too: this many slots, with ten more for each rule, is what a program may have.
 */
const MOST_SLOTS = 28_000;
const SLOTS_ADDED_PER_RULE = 10;

/** The verifier keeps 8192 branches of one path in mind (BPF_COMPLEXITY_LIMIT_JMP_SEQ). */
const MOST_JUMPS = 8000;

/** Rule bodies that fit whatever they ask for, so that nothing needs to be compiled to know. */
const BODIES_THAT_FIT = 64;

/** Why the rules of one interface cannot be one program; undefined if they can. */
export function programLacks(rules: readonly Rule[], target: CompileTarget): string | undefined {
	const slotted = rules.map((rule, ordinal) => ({ rule, ordinal, slot: ordinal }));
	const dispatches = FAMILIES.map((family) =>
		planDispatch(slotted.filter(({ rule }) => rule.family === family)),
	);
	const bodies = dispatches.reduce((sum, { groups }) => sum + bodiesIn(groups), 0);
	if (bodies <= BODIES_THAT_FIT) return undefined;
	return tooLarge(compileProgram({ rules: slotted, local: [] }, target, rules.length), rules.length);
}

/** Why the kernel would refuse a program for its size. */
export function tooLarge({ instructions }: ProgramSpec, rules: number): string | undefined {
	const slots = instructions.reduce((sum, one) => sum + slotsOf(one), 0);
	const jumps = instructions.filter(({ target }) => target !== undefined).length;
	if (slots + SLOTS_ADDED_PER_RULE * rules <= MOST_SLOTS && jumps <= MOST_JUMPS) return undefined;
	return `its interface's ${rules} rules make a program of ${slots} instructions, ${jumps} of them jumps, more than one may have`;
}

/** `slots`: how many counters the counter maps hold, more than any slot of the rules. */
export function compileProgram(rules: InterfaceRules, target: CompileTarget, slots: number): ProgramSpec {
	const code = new Code();
	const plans = FAMILIES.map((family) => ({
		family,
		dispatch: planDispatch(rules.rules.filter(({ rule }) => rule.family === family)),
	})).filter(({ dispatch }) => dscpMask(dispatch) !== 0n);
	emitProtocolDispatch(
		code,
		target,
		plans.map(({ family }) => family),
	);
	for (const { family, dispatch } of plans) emitFamily(code, family, dispatch, rules, target);
	code.label(PASS);
	code.step("let the packet go on", mov.imm(0, VERDICT[target.hook]), exit());
	const instructions = code.finish();
	const used = mapsUsed(instructions);
	return {
		name: PROGRAM_NAME[target.hook],
		type: target.hook === "tc" ? "BPF_PROG_TYPE_SCHED_CLS" : "BPF_PROG_TYPE_XDP",
		license: "Dual BSD/GPL",
		instructions,
		maps: [
			rulesMap(rules, plans),
			counterMap(MAP.counters, "BPF_MAP_TYPE_PERCPU_ARRAY", slots),
			counterMap(MAP.base, "BPF_MAP_TYPE_ARRAY", slots),
			...FAMILIES.filter((family) => used.includes(MAP.local[family])).map((family) =>
				localMap(family, rules.local),
			),
		],
	};
}

function emitFamily(
	code: Code,
	family: Family,
	dispatch: Dispatch,
	rules: InterfaceRules,
	target: CompileTarget,
): void {
	const prefix = family === "ipv4" ? "v4" : "v6";
	const mask = dscpMask(dispatch);
	if (family === "ipv4") emitParseIpv4(code, target, mask);
	else emitParseIpv6(code, target, mask);
	code.label(`${prefix}_dispatch`);
	const { plain, plainLocal, groups } = dispatch;
	const local = rules.local.filter(({ address }) => address.family === family);
	const kinds = [
		{ label: `${prefix}_local`, what: "a rule for this host's destinations", dscps: [...plainLocal.keys()] },
		{ label: `${prefix}_plain`, what: "a rule for every destination", dscps: [...plain.keys()] },
		{ label: `${prefix}_groups`, what: "other rules", dscps: groups.flatMap(({ dscps }) => dscps) },
	].filter(({ dscps }) => dscps.length > 0);
	if (kinds.length > 1) {
		code.step("what does this DSCP have?", ...loadDscp(family, target.linkHeaderBytes));
		for (const { label, what, dscps } of kinds.slice(0, -1)) {
			code.step(what, loadImm64(4, bitsOf(dscps)), rsh.reg(4, 3), jset.imm(4, 1, label));
		}
		const last = kinds.at(-1);
		if (last !== undefined) code.step(last.what, ja(last.label));
	}
	if (plainLocal.size > 0) {
		code.label(`${prefix}_local`);
		emitLoadDestination(code, family, target.linkHeaderBytes);
		emitLocal(code, { family, local }, PASS);
	}
	if (plain.size + plainLocal.size > 0) {
		code.label(`${prefix}_plain`);
		emitPlain(code, family, target, prefix);
	}
	if (groups.length > 0) {
		code.label(`${prefix}_groups`);
		emitGroups(code, groups, { family, target, local, prefix });
	}
}

/** One DSCP, one address: look it up, rewrite, count. */
function emitPlain(code: Code, family: Family, target: CompileTarget, prefix: string): void {
	const { stride, offset, addressBytes } = tableOf(family);
	const sumOffset = addressBytes;
	const slotOffset = family === "ipv4" ? addressBytes : addressBytes + 4;
	code.step(
		"one rule for this DSCP: find its entry in the table",
		...loadDscp(family, target.linkHeaderBytes),
		mul.imm(3, stride),
		loadMapValue(5, MAP.rules, offset),
		add.reg(5, 3),
	);
	emitRewriteAddress(code, family, target, { base: 5, offset: 0, sumOffset, slotOffset });
	code.step("its counter slot", load(4, 4, 5, slotOffset));
	emitCount(code, "count the packet", "r4");
	emitTransportChecksum(code, { family, target, prefix: `${prefix}_plain`, done: PASS });
}

function tableOf(family: Family): { stride: number; offset: number; addressBytes: number } {
	const { tablesOffset, ipv4EntryBytes, ipv6EntryBytes } = RULES_LAYOUT;
	if (family === "ipv4") return { stride: ipv4EntryBytes, offset: tablesOffset, addressBytes: 4 };
	return { stride: ipv6EntryBytes, offset: tablesOffset + DSCP_COUNT * ipv4EntryBytes, addressBytes: 16 };
}

function rulesMap(rules: InterfaceRules, plans: readonly { family: Family; dispatch: Dispatch }[]): MapSpec {
	const text = encodeInterfaceRules(rules);
	const {
		magic,
		versionOffset,
		textOffsetOffset,
		textLengthOffset,
		tablesOffset,
		ipv4EntryBytes,
		ipv6EntryBytes,
	} = RULES_LAYOUT;
	const textOffset = tablesOffset + DSCP_COUNT * (ipv4EntryBytes + ipv6EntryBytes);
	const value = new Uint8Array(Math.ceil((textOffset + text.length) / 8) * 8);
	const view = new DataView(value.buffer);
	value.set(magic);
	view.setUint32(versionOffset, SCHEMA_VERSION, true);
	view.setUint32(textOffsetOffset, textOffset, true);
	view.setUint32(textLengthOffset, text.length, true);
	for (const { family, dispatch } of plans) {
		const { stride, offset, addressBytes } = tableOf(family);
		for (const [dscp, { rule, slot }] of [...dispatch.plain, ...dispatch.plainLocal]) {
			const at = offset + dscp * stride;
			const { bytes } = rule.target.daddr;
			value.set(bytes, at);
			if (family === "ipv6") view.setInt32(at + addressBytes, foldedSum(bytes), true);
			view.setUint32(at + (family === "ipv6" ? addressBytes + 4 : addressBytes), slot, true);
		}
	}
	value.set(text, textOffset);
	return {
		name: MAP.rules,
		type: "BPF_MAP_TYPE_ARRAY",
		keySize: 4,
		valueSize: value.length,
		maxEntries: 1,
		flags: BPF_MAP_FLAG.BPF_F_RDONLY_PROG,
		contents: [{ key: new Uint8Array(4), value }],
		frozen: true,
	};
}

function counterMap(name: string, type: MapSpec["type"], slots: number): MapSpec {
	return { name, type, keySize: 4, valueSize: COUNTER_BYTES, maxEntries: slots };
}
