/** Changes one interface from its current program to the wanted one. */

import { encodeProgram, type LoadOptions, Program, type ProgramSpec, probeFeature } from "@l3dsr/bpf";
import { type NetInterface, waitForGracePeriod } from "@l3dsr/linux";
import type { Prefix } from "@l3dsr/packet";
import { L3dsrError } from "../../../errors.ts";
import { type Counters, type Rule, sameRule, sameValue, ZERO_COUNTERS } from "../../../model/rule.ts";
import type { RuleEntry } from "../../../model/ruleset.ts";
import type { CodeMemory, ProgramSource } from "../compile/code-memory.ts";
import { compileProgram, withContentsOf } from "../compile/compile.ts";
import { MAP } from "../compile/identity.ts";
import { FIRST_RULE_SLOT, type InterfaceRules, type SlottedRule } from "../compile/interface-rules.ts";
import { reachable } from "../compile/reachable.ts";
import { tooLarge } from "../compile/size.ts";
import type { CompileTarget } from "../compile/target.ts";
import { type AttachedProgram, type Attachment, attachAtFirst, type HookName, PLACES } from "./attachment.ts";
import { probeChecksumState } from "./checksum-state.ts";
import { addToBase, type CounterMaps, readCounter, setCounters, slotsFor } from "./counters.ts";
import { detachOurs, type Undo } from "./detach.ts";
import { refuseTakenXdp } from "./taken-xdp.ts";

export interface WantedProgram {
	readonly on: NetInterface;
	/** In the order in which they run; at least one. */
	readonly entries: readonly RuleEntry[];
	/** The host's own prefixes, if a rule needs them. */
	readonly local: readonly Prefix[];
	/** The acceptable hooks, best first; all take the same type of program. */
	readonly hooks: readonly [HookName, ...HookName[]];
}

/** The current programs at one interface. */
export interface CurrentPrograms {
	readonly ours: readonly Attachment[];
	readonly unreadable: readonly AttachedProgram[];
	/** Set if there are none: the program that others detached, or that disappeared with its interface. */
	readonly detached?: Attachment;
}

/**
 * Replaces our program with the wanted one, in one step for packets, and detaches ours at other hooks. Rules that
 * stay keep their counters. Throws L3dsrError; `undo` then holds the steps done so far.
 *
 * If the new program cannot replace the old one directly (another hook, or others have got in front), a packet meets
 * both for a moment: it is rewritten twice and counted twice.
 */
export function changeInterface(
	wanted: WantedProgram,
	{ ours, unreadable, detached }: CurrentPrograms,
	undo: Undo,
	code?: CodeMemory,
): void {
	const { on, entries, hooks } = wanted;
	const isWanted = ({ hook }: AttachedProgram) => hooks.includes(hook);
	const current = ours.find((one) => isWanted(one) && !one.overtaken);
	const counting = current ?? ours[0] ?? detached;
	const slotted = assignSlots(entries, counting);
	const rules: InterfaceRules = { rules: slotted, local: wanted.local };
	if (current !== undefined && isSameProgram(current, rules, current.hook)) {
		presetCounters(entries, slotted, current, undo);
		for (const other of [...ours, ...unreadable]) if (other !== current) detachOurs(other, undo);
		return;
	}
	if (detached !== undefined && isSameProgram(detached, rules, hooks[0])) {
		attachWanted(on, detached.program, undefined, hooks, undo);
		presetCounters(entries, slotted, detached, undo);
		return;
	}
	const replaced = current ?? unreadable.find(isWanted);
	const needed = slotsFor(Math.max(...slotted.map(({ slot }) => slot)) + 1);
	const room = counting?.counters.info.maxEntries ?? 0;
	const shared = room >= needed ? counting : undefined;
	const source = { rules, target: compileTarget(on, entries, hooks[0]), slots: Math.max(room, needed) };
	using program = loadProgram(on, source, shared === undefined ? {} : { maps: mapsByName(shared) }, code);
	const maps = { counters: program.map(MAP.counters), base: program.map(MAP.base) };
	const carried = shared === undefined ? counting : undefined;
	const begun = startCounters(slotted, { counting, shared, carried }, maps);
	attachWanted(on, program, replaced, hooks, undo);
	for (const other of [...ours, ...unreadable]) if (other !== replaced) detachOurs(other, undo);
	if (carried !== undefined) carryOver(begun, carried, maps);
	presetCounters(entries, slotted, maps, undo);
}

/** Uses the code in `code`, so that nothing is compiled if only the host's addresses have changed. */
function loadProgram(
	on: NetInterface,
	source: ProgramSource,
	options: LoadOptions,
	code: CodeMemory | undefined,
): Program {
	const known = code?.get(on.name, source);
	if (known !== undefined) {
		try {
			return Program.load(withContentsOf(source.rules, known), options);
		} catch {
			// If the kernel refuses the compiled program as well, that error is reported.
			code?.forget(on.name);
		}
	}
	const { rules, target, slots } = source;
	const spec = compileProgram(rules, target, slots);
	refuseTooLarge(on, spec, rules.rules.length);
	const encoded = encodeProgram(spec);
	const program = Program.load(encoded, options);
	code?.keep(on.name, source, encoded);
	return program;
}

/**
 * Interfaces need no comparison: the memory of programs only returns one for the same kind. Addresses that no
 * director sends to make no difference, as in the check of programs.
 */
function isSameProgram({ hook, rules }: Attachment, wanted: InterfaceRules, on: HookName): boolean {
	return (
		PLACES[hook].program === PLACES[on].program &&
		sameValue(rules.rules, wanted.rules) &&
		sameValue(reachable(rules.local), reachable(wanted.local))
	);
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

function attachWanted(
	on: NetInterface,
	program: Program,
	replaced: AttachedProgram | undefined,
	hooks: WantedProgram["hooks"],
	undo: Undo,
): void {
	const { id } = program.info;
	if (replaced !== undefined) {
		const place = PLACES[replaced.hook];
		place.replace(on, replaced.program.info.id, program);
		undo.push(() => place.replace(on, id, replaced.program));
		return;
	}
	refuseTakenXdp(on, hooks[0]);
	const hook = attachAtFirst(hooks, on, program);
	undo.push(() => PLACES[hook].detach(on, id));
}

/** A rule keeps its slot while it is the same rule at the same ordinal; no other rule takes the slot. */
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

/** The program whose counters continue, in the same maps or copied to new ones. */
interface Predecessor {
	readonly counting: Attachment | undefined;
	readonly shared: Attachment | undefined;
	readonly carried: Attachment | undefined;
}

/**
 * Called before the program runs: new rules begin at zero, and rules that move to new maps at their current values.
 * Returns these, by slot.
 */
function startCounters(
	slotted: readonly SlottedRule[],
	{ counting, shared, carried }: Predecessor,
	maps: CounterMaps,
): ReadonlyMap<number, Counters> {
	const kept = new Set(counting?.rules.rules.map(({ slot }) => slot));
	const begun = new Map<number, Counters>();
	for (const { slot } of slotted) {
		// A new map counts from zero.
		if (!kept.has(slot)) {
			if (shared !== undefined) setCounters(maps, slot, ZERO_COUNTERS);
		} else if (carried !== undefined) {
			const start = readCounter(carried, slot);
			begun.set(slot, start);
			setCounters(maps, slot, start);
		}
	}
	return begun;
}

/** Adds what the old program counted after `begun` was read, until the last packet left it. */
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

/** The target to compile these rules for, on this interface and kernel. */
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
