/** Makes the programs hold what is wanted: all of it, or what they held before. */

import type { NetInterface } from "@l3dsr/linux";
import { type Prefix, prefixText } from "@l3dsr/packet";
import { L3dsrError, withNotes } from "../../../errors.ts";
import type { RuleEntry, Ruleset } from "../../../model/ruleset.ts";
import { hookLacks } from "../compile/target.ts";
import {
	type AttachedProgram,
	type Attachment,
	Attachments,
	HOOKS_OF,
	PLACES,
	type ProgramRecord,
} from "./attachment.ts";
import { detachOurs, type Undo } from "./detach.ts";
import type { EbpfOptions } from "./ebpf.ts";
import type { CurrentPrograms, changeInterface, WantedProgram } from "./interface-change.ts";
import { refuseOpenChecksums } from "./open-checksums.ts";
import { asksForLocal, prefixesOfContainers } from "./own-addresses.ts";
import type { ProgramMemory } from "./program-memory.ts";

/**
 * `found`: the interfaces and programs of the observation. The host's own prefixes are read now, not with it, because
 * this plan may just have put VIPs on lo. Throws L3dsrError (KERNEL_*, DATAPATH_CHANGED), with everything as it was.
 */
export async function changePrograms(
	desired: Ruleset,
	found: { readonly interfaces: readonly NetInterface[]; readonly records: readonly ProgramRecord[] },
	options: EbpfOptions,
): Promise<void> {
	const wanted = byInterface(desired.entries);
	const local = desired.entries.some(asksForLocal)
		? await ownPrefixes(found.interfaces, new Set(wanted.keys()), options)
		: [];
	using attachments = Attachments.reopen(found.interfaces, found.records);
	options.memory?.beginChange();
	const undo: Undo = [];
	// Removing programs needs no compiler.
	const compiler = wanted.size === 0 ? undefined : await import("./interface-change.ts");
	try {
		for (const [name, entries] of wanted) {
			const on = attachments.interfaces.find((one) => one.name === name);
			if (on === undefined) throw interfaceGone(name);
			const isHere = (one: AttachedProgram) => one.interface.index === on.index;
			const attached = {
				ours: attachments.ours.filter(isHere),
				unreadable: attachments.unreadable.filter(isHere),
			};
			const wantedProgram: WantedProgram = {
				on,
				entries,
				local: entries.some(asksForLocal) ? local : [],
				hooks: hooksFor(on, entries, attached.ours, options),
			};
			if (compiler !== undefined)
				changeOne(compiler.changeInterface, wantedProgram, attached, undo, options.memory);
		}
		for (const attached of [...attachments.ours, ...attachments.unreadable]) {
			if (!wanted.has(attached.interface.name)) detachOurs(attached, undo);
		}
	} catch (error) {
		throw takeBack(undo, error);
	}
}

async function ownPrefixes(
	interfaces: readonly NetInterface[],
	served: ReadonlySet<string>,
	options: EbpfOptions,
): Promise<readonly Prefix[]> {
	const containers = new Set(prefixesOfContainers(interfaces, served, options).map(prefixText));
	return (await options.localPrefixes()).filter((prefix) => !containers.has(prefixText(prefix)));
}

function changeOne(
	change: typeof changeInterface,
	wanted: WantedProgram,
	attached: Omit<CurrentPrograms, "detached">,
	undo: Undo,
	memory: ProgramMemory | undefined,
): void {
	const isEmpty = attached.ours.length + attached.unreadable.length === 0;
	using detached = isEmpty ? memory?.detachedFrom(wanted.on) : undefined;
	change(wanted, { ...attached, ...(detached === undefined ? {} : { detached }) }, undo, memory?.code);
}

function hooksFor(
	on: NetInterface,
	entries: readonly RuleEntry[],
	ours: readonly Attachment[],
	{ hook, openChecksums }: EbpfOptions,
): WantedProgram["hooks"] {
	if (hook === "auto") {
		const [attached] = ours;
		const program = attached === undefined ? "tc" : PLACES[attached.hook].program;
		const fits = entries.every(({ rule }) => hookLacks(rule, program) === undefined);
		return attached !== undefined && fits ? [attached.hook] : HOOKS_OF.tc;
	}
	if (hook !== "tc" && PLACES[hook].program === "xdp" && openChecksums === "refuse") refuseOpenChecksums(on);
	return HOOKS_OF[hook];
}

/** Undoes the steps; returns the error to throw, with a note for each step that failed to undo. */
function takeBack(undo: Undo, error: unknown): unknown {
	const notes: string[] = [];
	for (const step of undo.reverse()) {
		try {
			step();
		} catch (second) {
			notes.push(`undoing a step failed too: ${second instanceof Error ? second.message : second}`);
		}
	}
	return notes.length === 0 ? error : withNotes(error, notes);
}

/** Rules by the interface in `-i`, which every rule of this datapath has; raw runs before mangle. */
function byInterface(entries: readonly RuleEntry[]): ReadonlyMap<string, readonly RuleEntry[]> {
	const found = new Map<string, RuleEntry[]>();
	for (const entry of [...entries].sort(inRunningOrder)) {
		const name = entry.rule.header.inInterface?.name;
		if (name === undefined) throw new TypeError("a rule for the ebpf datapath needs an interface");
		const same = found.get(name);
		if (same === undefined) found.set(name, [entry]);
		else same.push(entry);
	}
	return found;
}

function inRunningOrder(a: RuleEntry, b: RuleEntry): number {
	if (a.rule.table !== b.rule.table) return a.rule.table === "raw" ? -1 : 1;
	return a.ordinal - b.ordinal;
}

function interfaceGone(name: string): L3dsrError {
	return new L3dsrError({
		code: "KERNEL_SYSCALL",
		message: `attach the rules of ${name}: there is no such interface`,
		hint: "it may have disappeared meanwhile; run the command again",
	});
}
