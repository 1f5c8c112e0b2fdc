/** One interface from the program that it has to the program that it should have. */

import { Program, type ProgramSpec, probeFeature } from "@l3dsr/bpf";
import { type NetInterface, waitForGracePeriod } from "@l3dsr/linux";
import type { Prefix } from "@l3dsr/packet";
import { L3dsrError } from "../../../errors.ts";
import { type Counters, type Rule, sameRule, sameValue, ZERO_COUNTERS } from "../../../model/rule.ts";
import type { RuleEntry } from "../../../model/ruleset.ts";
import { compileProgram } from "../compile/compile.ts";
import { MAP } from "../compile/identity.ts";
import { FIRST_RULE_SLOT, type InterfaceRules, type SlottedRule } from "../compile/interface-rules.ts";
import { tooLarge } from "../compile/size.ts";
import type { CompileTarget } from "../compile/target.ts";
import { type Attachment, attachAtFirst, type HookName, PLACES, type Standing } from "./attachment.ts";
import { probeChecksumState } from "./checksum-state.ts";
import { addToBase, type CounterMaps, readCounter, setCounters, slotsFor } from "./counters.ts";
import { takeAway, type Undo } from "./take-away.ts";
import { refuseTakenXdp } from "./taken-xdp.ts";

export interface WantedProgram {
	readonly on: NetInterface;
	/** In the order in which they run; at least one. */
	readonly entries: readonly RuleEntry[];
	/** The host's own prefixes, if a rule asks for them. */
	readonly local: readonly Prefix[];
	/** Hooks that will do, the best first; all take the same type of program. */
	readonly hooks: readonly [HookName, ...HookName[]];
}

/** What stands at one interface now. */
export interface StandingPrograms {
	readonly ours: readonly Attachment[];
	readonly unreadable: readonly Standing[];
	/** Where there are none: what was detached by others, or went with its interface. */
	readonly detached?: Attachment;
}

/**
 * Puts the wanted program in the place of ours, in one step for the packets, and takes away ours at other
 * hooks. Counters of rules that stay go on. Throws L3dsrError; what had been done by then is in `undo`.
 *
 * Where the new program cannot take the place of the old one (another hook, or others have got in front), a
 * packet meets both for a moment: it is rewritten twice, and counted twice.
 */
export function changeInterface(
	wanted: WantedProgram,
	{ ours, unreadable, detached }: StandingPrograms,
	undo: Undo,
): void {
	const { on, entries, hooks } = wanted;
	const isWanted = ({ hook }: Standing) => hooks.includes(hook);
	const current = ours.find((one) => isWanted(one) && !one.overtaken);
	const counting = current ?? ours[0] ?? detached;
	const slotted = assignSlots(entries, counting);
	const rules: InterfaceRules = { rules: slotted, local: wanted.local };
	if (current !== undefined && sameValue(current.rules, rules)) {
		presetCounters(entries, slotted, current, undo);
		for (const other of [...ours, ...unreadable]) if (other !== current) takeAway(other, undo);
		return;
	}
	if (detached !== undefined && isSameProgram(detached, rules, hooks[0])) {
		hang(on, detached.program, undefined, hooks, undo);
		presetCounters(entries, slotted, detached, undo);
		return;
	}
	const standing = current ?? unreadable.find(isWanted);
	const needed = slotsFor(Math.max(...slotted.map(({ slot }) => slot)) + 1);
	const room = counting?.counters.info.maxEntries ?? 0;
	const shared = room >= needed ? counting : undefined;
	const spec = compileProgram(rules, compileTarget(on, entries, hooks[0]), Math.max(room, needed));
	refuseTooLarge(on, spec, slotted.length);
	using program = Program.load(spec, shared === undefined ? {} : { maps: mapsByName(shared) });
	const maps = { counters: program.map(MAP.counters), base: program.map(MAP.base) };
	const carried = shared === undefined ? counting : undefined;
	const begun = startCounters(slotted, counting, carried, maps);
	hang(on, program, standing, hooks, undo);
	for (const other of [...ours, ...unreadable]) if (other !== standing) takeAway(other, undo);
	if (carried !== undefined) carryOver(begun, carried, maps);
	presetCounters(entries, slotted, maps, undo);
}

/** For the same kind of interface, as the memory of programs gives it. */
function isSameProgram({ hook, rules }: Attachment, wanted: InterfaceRules, on: HookName): boolean {
	return PLACES[hook].program === PLACES[on].program && sameValue(rules, wanted);
}

function refuseTooLarge(on: NetInterface, spec: ProgramSpec, rules: number): void {
	const why = tooLarge(spec, rules);
	if (why === undefined) return;
	throw new L3dsrError({
		code: "KERNEL_FEATURE",
		message: `compile the rules of ${on.name}: ${why}`,
		hint: "set datapath: nft or auto",
	});
}

function hang(
	on: NetInterface,
	program: Program,
	standing: Standing | undefined,
	hooks: WantedProgram["hooks"],
	undo: Undo,
): void {
	const { id } = program.info;
	if (standing !== undefined) {
		const place = PLACES[standing.hook];
		place.replace(on, standing.program.info.id, program);
		undo.push(() => place.replace(on, id, standing.program));
		return;
	}
	refuseTakenXdp(on, hooks[0]);
	const hook = attachAtFirst(hooks, on, program);
	undo.push(() => PLACES[hook].detach(on, id));
}

/** A rule keeps its slot as long as it is the same rule at the same ordinal; no other rule's slot is taken. */
function assignSlots(entries: readonly RuleEntry[], counting: Attachment | undefined): SlottedRule[] {
	const before = counting?.rules.rules ?? [];
	const taken = new Set(before.map(({ slot }) => slot));
	let next = FIRST_RULE_SLOT;
	return entries.map(({ rule, ordinal }) => {
		const kept = before.find((one) => one.ordinal === ordinal && sameRule(one.rule, rule));
		if (kept !== undefined) return { rule, ordinal, slot: kept.slot };
		while (taken.has(next)) next++;
		taken.add(next);
		return { rule, ordinal, slot: next };
	});
}

/**
 * Before the program runs: new rules begin at zero, rules that move to new maps at what they had, which is
 * given back by slot.
 */
function startCounters(
	slotted: readonly SlottedRule[],
	counting: Attachment | undefined,
	carried: Attachment | undefined,
	maps: CounterMaps,
): ReadonlyMap<number, Counters> {
	const kept = new Set(counting?.rules.rules.map(({ slot }) => slot));
	const begun = new Map<number, Counters>();
	for (const { slot } of slotted) {
		if (!kept.has(slot)) setCounters(maps, slot, ZERO_COUNTERS);
		else if (carried !== undefined) {
			const start = readCounter(carried, slot);
			begun.set(slot, start);
			setCounters(maps, slot, start);
		}
	}
	return begun;
}

/** What the old program counted after `begun` was read, until the last packet had left it. */
function carryOver(begun: ReadonlyMap<number, Counters>, carried: Attachment, maps: CounterMaps): void {
	waitForGracePeriod();
	for (const [slot, start] of begun) {
		const end = readCounter(carried, slot);
		addToBase(maps, slot, { packets: end.packets - start.packets, bytes: end.bytes - start.bytes });
	}
}

/** `-Z` and `-restore -c`: exactly these values, from now on. */
function presetCounters(
	entries: readonly RuleEntry[],
	slotted: readonly SlottedRule[],
	maps: CounterMaps,
	undo: Undo,
): void {
	entries.forEach(({ counters }, index) => {
		const slot = slotted[index]?.slot;
		if (counters !== undefined && slot !== undefined) undo.push(setCounters(maps, slot, counters));
	});
}

/** What a program for these rules is compiled for, on this interface and kernel. */
export function compileTarget(
	on: NetInterface,
	rules: readonly { readonly rule: Rule }[],
	hookName: HookName,
): CompileTarget {
	const hook = PLACES[hookName].program;
	const ipv6 = rules.some(({ rule }) => rule.family === "ipv6");
	const checksum = hook === "tc" ? probeChecksumState() : undefined;
	return {
		hook,
		linkHeaderBytes: on.ethernet ? 14 : 0,
		...(checksum?.answer === "yes" ? { checksumState: checksum.state } : {}),
		ipv6ChecksumFlag: hook === "tc" && ipv6 && probeFeature("csumReplaceIpv6").answer === "yes",
	};
}

function mapsByName({ counters, base }: CounterMaps): ReadonlyMap<string, CounterMaps["base"]> {
	return new Map([
		[MAP.counters, counters],
		[MAP.base, base],
	]);
}
