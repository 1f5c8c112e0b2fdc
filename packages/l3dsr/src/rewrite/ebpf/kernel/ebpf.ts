/**
 * The eBPF datapath: one program for each interface with rules, replaced as a whole and observed through the kernel's
 * query interface. Nothing is pinned, and no file is kept.
 */

import { listInterfaces, type NetInterface } from "@l3dsr/linux";
import { type Prefix, prefixText } from "@l3dsr/packet";
import { L3dsrError, withNotes } from "../../../errors.ts";
import { type Missing, privilegeMissing } from "../../../host/capabilities.ts";
import type { DatapathSettings, HookChoice } from "../../../model/configuration.ts";
import { MADE_FOR_OTHER_ADDRESSES } from "../../../model/finding.ts";
import { sameValue, ZERO_COUNTERS } from "../../../model/rule.ts";
import type { RuleEntry, Ruleset } from "../../../model/ruleset.ts";
import type { Datapath, DatapathFinding, ObservedRule, Snapshot } from "../../datapath.ts";
import { reachable } from "../compile/reachable.ts";
import { hookLacks } from "../compile/target.ts";
import { hiddenPrograms, isRefusal, missingForPrograms, refusedByKernel } from "./access.ts";
import {
	type AttachedProgram,
	type Attachment,
	Attachments,
	PLACES,
	type ProgramRecord,
} from "./attachment.ts";
import { readCounters } from "./counters.ts";
import { detachOurs, type Undo } from "./detach.ts";
import type { CurrentPrograms, changeInterface, WantedProgram } from "./interface-change.ts";
import { refuseOpenChecksums } from "./open-checksums.ts";
import type { ProgramMemory } from "./program-memory.ts";

export interface EbpfOptions extends Pick<DatapathSettings, "hook" | "openChecksums"> {
	/** For a long-running process. */
	readonly memory?: ProgramMemory;
	/** Routes of type "local" of this namespace; called only if a rule has `addrtype`. */
	readonly localPrefixes: () => Promise<readonly Prefix[]>;
	/** The local routes of bridges among them; absent: none. */
	readonly bridgePrefixes?: () => ReadonlyMap<string, readonly Prefix[]>;
}

/** ARPHRD_* types of devices without a link-layer header at tc (if_arp.h). */
const NO_LINK_HEADER = new Set([
	/* PPP */ 512, /* RAWIP */ 519, /* TUNNEL */ 768, /* TUNNEL6 */ 769, /* SIT */ 776, /* NONE */ 65534,
]);

/** Why our programs cannot read the packets of this interface; undefined if they can. */
export function interfaceLacks(on: NetInterface, hook: EbpfOptions["hook"]): string | undefined {
	if (hook === "xdp" && on.kind === "bridge")
		return `${on.name} is a bridge, which does not support native XDP`;
	if (on.ethernet) return undefined;
	if (hook === "xdp" || hook === "xdp-generic") return `${on.name} has no Ethernet header, which XDP needs`;
	return NO_LINK_HEADER.has(on.type) ? undefined : `the link-layer header of ${on.name} is unknown`;
}

export interface Limited {
	readonly missing: Missing;
	/** Programs that may be ours but could not be read: `program 12 at tcx ingress of eth0`. */
	readonly hidden: readonly string[];
}

/** A snapshot with the interfaces that existed. */
export interface EbpfSnapshot extends Snapshot {
	readonly interfaces: readonly NetInterface[];
	/** Interfaces with a director's program. */
	readonly directors: readonly string[];
	/** Set if this process may not use programs; attached ones were then not observed. */
	readonly limited?: Limited;
}

export class EbpfDatapath implements Datapath {
	readonly name = "ebpf";
	readonly #options: EbpfOptions;
	/** Whether programs were allowed once. If they no longer are, the kernel refuses. */
	#isAllowed = false;

	constructor(options: EbpfOptions) {
		this.#options = options;
	}

	async observe(): Promise<EbpfSnapshot> {
		const missing = this.#isAllowed ? undefined : missingForPrograms();
		if (missing !== undefined) return unobserved(missing);
		this.#isAllowed = true;
		try {
			return await this.#observeAll();
		} catch (error) {
			const refused = isRefusal(error) ? refusedByKernel() : undefined;
			if (refused === undefined) throw error;
			return unobserved(refused);
		}
	}

	async #observeAll(): Promise<EbpfSnapshot> {
		const { memory } = this.#options;
		using attachments = Attachments.find((id) => memory?.rulesOf(id));
		memory?.note(attachments.ours);
		const rules = attachments.ours.flatMap((attachment): ObservedRule[] => {
			const slots = attachment.rules.rules.map(({ slot }) => slot);
			const counters = readCounters(attachment, slots);
			return attachment.rules.rules.map(({ rule, ordinal, slot }) => ({
				rule,
				ordinal,
				counters: counters.get(slot) ?? ZERO_COUNTERS,
				datapath: "ebpf",
				hook: attachment.hook,
			}));
		});
		const findings = [...attachments.findings, ...this.#elsewhere(attachments)];
		const records = attachments.record();
		const { interfaces } = attachments;
		return {
			interfaces,
			directors: attachments.directors,
			rules,
			findings: [...findings, ...(await this.#stale(attachments, interfaces))],
			change: (desired) => this.#change(desired, interfaces, records),
		};
	}

	/** Programs at a hook other than the wanted one. */
	#elsewhere({ ours }: Attachments): DatapathFinding[] {
		const { hook } = this.#options;
		if (hook === "auto") return [];
		return ours
			.filter((one) => !HOOKS_OF[hook].includes(one.hook))
			.map((one) => ({
				datapath: "ebpf",
				kind: "misplaced",
				object: `program at ${PLACES[one.hook].name} of ${one.interface.name}`,
				problem: `is attached to a different hook than ${hook}`,
			}));
	}

	/** Programs compiled when the host had other addresses; the next change replaces them. */
	async #stale({ ours }: Attachments, interfaces: readonly NetInterface[]): Promise<DatapathFinding[]> {
		const asking = ours.filter(({ rules }) => rules.rules.some(asksForLocal));
		if (asking.length === 0) return [];
		const local = reachable(await this.#options.localPrefixes());
		const others = asking.filter(({ rules }) => !sameValue(reachable(rules.local), local));
		if (others.length === 0) return [];
		const served = new Set(ours.map((one) => one.interface.name));
		const aside = new Set(reachable(this.#ofContainers(interfaces, served)));
		return others
			.filter(({ rules }) => {
				const known = reachable(rules.local);
				const needed = local.filter((prefix) => !aside.has(prefix) || known.includes(prefix));
				return !sameValue(known, needed);
			})
			.map((attachment) => ({
				datapath: "ebpf",
				kind: "network",
				object: `program at ${PLACES[attachment.hook].name} of ${attachment.interface.name}`,
				problem: MADE_FOR_OTHER_ADDRESSES,
			}));
	}

	/**
	 * Addresses of bridges other than the interfaces with rules: container networks, to which no director sends. They
	 * come and go, and no program includes them. A bridge on top of an interface with rules holds the address that
	 * packets are sent to, so it is included.
	 */
	#ofContainers(interfaces: readonly NetInterface[], served: ReadonlySet<string>): Prefix[] {
		const byIndex = new Map<number, NetInterface>(interfaces.map((one) => [one.index, one]));
		const aboveServed = new Set<string>();
		for (const one of interfaces.filter(({ name }) => served.has(name))) {
			for (let at: NetInterface | undefined = one; at !== undefined && !aboveServed.has(at.name); ) {
				aboveServed.add(at.name);
				at = at.master === undefined ? undefined : byIndex.get(at.master);
			}
		}
		return [...(this.#options.bridgePrefixes?.() ?? [])]
			.filter(([name]) => !aboveServed.has(name))
			.flatMap(([, prefixes]) => prefixes);
	}

	/** The host's own prefixes are read now, not with the observation, because this plan may just have put VIPs on lo. */
	async #change(
		desired: Ruleset,
		interfaces: readonly NetInterface[],
		records: readonly ProgramRecord[],
	): Promise<void> {
		const wanted = byInterface(desired.entries);
		const asksLocal = desired.entries.some(asksForLocal);
		const containers = new Set(
			asksLocal ? this.#ofContainers(interfaces, new Set(wanted.keys())).map(prefixText) : [],
		);
		const all = asksLocal ? await this.#options.localPrefixes() : [];
		const local = all.filter((prefix) => !containers.has(prefixText(prefix)));
		using attachments = Attachments.reopen(interfaces, records);
		this.#options.memory?.beginChange();
		const undo: Undo = [];
		// Imports the compiler, which rules on nft do not need.
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
					hooks: this.#hooksFor(on, entries, attached.ours),
				};
				if (compiler !== undefined) this.#changeOne(compiler.changeInterface, wantedProgram, attached, undo);
			}
			for (const attached of [...attachments.ours, ...attachments.unreadable]) {
				if (!wanted.has(attached.interface.name)) detachOurs(attached, undo);
			}
		} catch (error) {
			throw takeBack(undo, error);
		}
	}

	#changeOne(
		change: typeof changeInterface,
		wanted: WantedProgram,
		attached: Omit<CurrentPrograms, "detached">,
		undo: Undo,
	): void {
		const isEmpty = attached.ours.length + attached.unreadable.length === 0;
		using detached = isEmpty ? this.#options.memory?.detachedFrom(wanted.on) : undefined;
		change(
			wanted,
			{ ...attached, ...(detached === undefined ? {} : { detached }) },
			undo,
			this.#options.memory?.code,
		);
	}

	#hooksFor(
		on: NetInterface,
		entries: readonly RuleEntry[],
		ours: readonly Attachment[],
	): WantedProgram["hooks"] {
		const { hook, openChecksums } = this.#options;
		if (hook === "auto") {
			const [attached] = ours;
			const program = attached === undefined ? "tc" : PLACES[attached.hook].program;
			const fits = entries.every(({ rule }) => hookLacks(rule, program) === undefined);
			return attached !== undefined && fits ? [attached.hook] : HOOKS_OF.tc;
		}
		if (hook !== "tc" && PLACES[hook].program === "xdp" && openChecksums === "refuse")
			refuseOpenChecksums(on);
		return HOOKS_OF[hook];
	}
}

/** For a process that may not read programs: it makes no change either, and the rules go to nft (assign.ts). */
function unobserved(missing: Missing): EbpfSnapshot {
	const interfaces = listInterfaces();
	return {
		interfaces,
		directors: [],
		limited: { missing, hidden: hiddenPrograms(interfaces) },
		rules: [],
		findings: [],
		async change({ entries }) {
			if (entries.length > 0) throw privilegeMissing("change eBPF programs", "programs", missing);
		},
	};
}

/** The hooks for each choice, best first. */
const HOOKS_OF: Readonly<Record<Exclude<HookChoice, "auto">, WantedProgram["hooks"]>> = {
	tc: ["tcx", "clsact"],
	tcx: ["tcx"],
	clsact: ["clsact"],
	xdp: ["xdp"],
	"xdp-generic": ["xdp-generic"],
};

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

function asksForLocal({ rule }: Pick<RuleEntry, "rule">): boolean {
	return rule.matches.some(({ kind }) => kind === "addrtype");
}

function interfaceGone(name: string): L3dsrError {
	return new L3dsrError({
		code: "KERNEL_SYSCALL",
		message: `attach the rules of ${name}: there is no such interface`,
		hint: "it may have disappeared meanwhile; run the command again",
	});
}
