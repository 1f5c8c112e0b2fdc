/**
 * Combines both datapaths of this host. The assignment of rules (assign.ts) is decided once per plan, from facts
 * gathered with the observation; the observed rules read as one ruleset.
 */
import type { GenerationStep, Nftables } from "@l3dsr/nftables";
import { withNotes } from "../errors.ts";
import { bridgePrefixes, localPrefixes } from "../host/local-prefixes.ts";
import type { DatapathSettings, HookChoice } from "../model/configuration.ts";
import { CHAINS, type Rule, sameRule } from "../model/rule.ts";
import type { Ruleset } from "../model/ruleset.ts";
import { once } from "../once.ts";
import { type Assignment, type AssignmentFacts, assignAsObserved, assignDatapaths } from "./assign.ts";
import type {
	DatapathFinding,
	DatapathName,
	Observation,
	ObservedRule,
	ObserveOptions,
	Snapshot,
} from "./datapath.ts";
import { hookLacks } from "./ebpf/compile/target.ts";
import { EbpfDatapath, type EbpfSnapshot, interfaceLacks, type Limited } from "./ebpf/kernel/ebpf.ts";
import type { ProgramMemory } from "./ebpf/kernel/program-memory.ts";
import { NftDatapath, type NftSnapshot } from "./nft/kernel/nft.ts";
import { refusalOf } from "./reason.ts";
import { answeredOf, stepsBetween } from "./steps-between.ts";

/** The interface for callers: observe, assign, change. */
export interface HostDatapath {
	/** As in {@link Datapath}. */
	observe(options?: ObserveOptions): Promise<HostSnapshot>;
}

/** What both datapaths held, and the interfaces that existed. Serves for one change: observe again after it. */
export interface HostSnapshot extends Observation {
	/** As in {@link Snapshot}. */
	readonly oldCounters?: boolean;
	/** Interfaces with a director's program, found during the observation. */
	readonly directors: readonly string[];
	/** Set if this process may not use eBPF programs, so that it has not seen the attached ones. */
	readonly limited?: Limited & {
		/** The configuration demands nft, so its author knows that no program there is ours. */
		readonly waived: boolean;
	};
	/** Where each rule would run, and why. Pure. */
	assign(ruleset: Ruleset): Promise<Assignment>;
	/** Assigns the same rules, or some of them, to where they ran in `observed`. Pure. */
	assignAsObserved(ruleset: Ruleset, observed: readonly ObservedRule[]): Assignment;
	/**
	 * Makes the kernel hold exactly these rules, as assigned. `own`: this process's change of other tables of nf_tables
	 * since the observation. Throws what a {@link Snapshot} throws, and KERNEL_FEATURE, before any change, if the
	 * assignment is refused.
	 */
	change(assignment: Assignment, own?: GenerationStep): Promise<void>;
}

/**
 * The datapaths of this network namespace. Touches nothing until asked to observe. Defaults: datapath auto, hook
 * auto, open checksums refused. For a long-running process: `memory`, and `openNftables`, which may give the same
 * socket each time.
 */
export function openDatapath(
	{ datapath = "auto", hook = "auto", openChecksums = "refuse" }: Partial<DatapathSettings> = {},
	memory?: ProgramMemory,
	openNftables?: () => Nftables,
): HostDatapath {
	return new CombinedDatapath(
		new NftDatapath(openNftables),
		new EbpfDatapath({
			hook,
			openChecksums,
			localPrefixes: async () => localPrefixes(),
			bridgePrefixes,
			...(memory === undefined ? {} : { memory }),
		}),
		{ datapath, hook, openChecksums },
	);
}

function assignmentFacts(
	{ interfaces: present, limited }: EbpfSnapshot,
	hook: HookChoice,
	sizes: ProgramSizes,
): AssignmentFacts {
	const interfaces = new Map(present.map((one) => [one.name, one]));
	const program = hook === "xdp" || hook === "xdp-generic" ? "xdp" : "tc";
	const ask = once(async () => {
		const { refusedByKernel } = await import("./ebpf/kernel/refused.ts");
		return refusedByKernel();
	});
	return {
		ebpfMissing: async () => limited?.missing ?? (await ask()),
		interfaces: new Set(interfaces.keys()),
		ebpfLacks(rule) {
			const on = interfaces.get(rule.header.inInterface?.name ?? "");
			return hookLacks(rule, program) ?? (on && interfaceLacks(on, hook));
		},
		programLacks: (rules) =>
			sizes.get(rules, async () => {
				const { programLacks } = await import("./ebpf/compile/size.ts");
				return programLacks(rules, { hook: program, linkHeaderBytes: 14, ipv6ChecksumFlag: false });
			}),
	};
}

/** Compiles many rules to find out whether they fit into a program, once for the same rules of an interface. */
class ProgramSizes {
	readonly #known = new Map<
		string,
		{ readonly rules: readonly Rule[]; readonly lacks: string | undefined }
	>();

	async get(rules: readonly Rule[], find: () => Promise<string | undefined>): Promise<string | undefined> {
		const on = rules[0]?.header.inInterface?.name ?? "";
		const known = this.#known.get(on);
		const same =
			known?.rules.length === rules.length && known.rules.every((one, at) => isSame(one, rules[at]));
		if (known !== undefined && same) return known.lacks;
		const lacks = await find();
		this.#known.set(on, { rules, lacks });
		return lacks;
	}
}

function isSame(a: Rule, b: Rule | undefined): boolean {
	return b !== undefined && sameRule(a, b);
}

class CombinedDatapath implements HostDatapath {
	readonly #nft: NftDatapath;
	readonly #ebpf: EbpfDatapath;
	readonly #settings: DatapathSettings;
	readonly #lacks = new ProgramSizes();

	constructor(nft: NftDatapath, ebpf: EbpfDatapath, settings: DatapathSettings) {
		this.#nft = nft;
		this.#ebpf = ebpf;
		this.#settings = settings;
	}

	async observe(options: ObserveOptions = {}): Promise<HostSnapshot> {
		const ebpf = await this.#ebpf.observe();
		const nft = await this.#nft.observe({ ...options, answered: answeredOf(ebpf.rules) });
		// The answers may belong to a program that this process may not read.
		const hidden = this.#settings.datapath !== "nft" && (ebpf.limited?.hidden ?? []).length > 0;
		const isCertain = ({ kind }: DatapathFinding) => !hidden || kind !== "answers-superfluous";
		const facts = assignmentFacts(ebpf, this.#settings.hook, this.#lacks);
		const rules = [...nft.rules, ...ebpf.rules].sort(inListOrder);
		return {
			rules,
			findings: [...nft.findings.filter(isCertain), ...ebpf.findings],
			directors: ebpf.directors,
			...(nft.oldCounters === true ? { oldCounters: true } : {}),
			...(ebpf.limited === undefined
				? {}
				: { limited: { ...ebpf.limited, waived: this.#settings.datapath === "nft" } }),
			assign: (ruleset) => assignDatapaths(ruleset, facts, this.#settings.datapath),
			assignAsObserved: (ruleset, before) => assignAsObserved(ruleset, before, facts),
			change: async (assignment, own) => {
				if (assignment.refused !== undefined) throw refusalOf(assignment.refused);
				await this.#change(assignment, rules, { nft, ebpf, own });
			},
		};
	}

	async #change(
		{ rules }: Assignment,
		observed: readonly ObservedRule[],
		snapshots: {
			readonly nft: NftSnapshot;
			readonly ebpf: Snapshot;
			readonly own: GenerationStep | undefined;
		},
	): Promise<void> {
		const done: DatapathName[] = [];
		try {
			for (const step of stepsBetween(rules, observed)) {
				// If a datapath changes twice, the first change has left it in between.
				const again = done.includes(step.datapath);
				if (step.datapath === "nft" && again) await (await this.#nft.observe()).change(step);
				else if (step.datapath === "nft") await snapshots.nft.change(step, snapshots.own);
				else await (again ? await this.#ebpf.observe() : snapshots.ebpf).change(step);
				done.push(step.datapath);
			}
		} catch (error) {
			throw await this.#putBack(new Set(done), observed, error);
		}
	}

	/** Each datapath undoes its own failed change; this undoes the completed change of the other. */
	async #putBack(
		done: ReadonlySet<DatapathName>,
		observed: readonly ObservedRule[],
		error: unknown,
	): Promise<unknown> {
		try {
			for (const datapath of [...done].reverse()) {
				const entries = observed.filter((one) => one.datapath === datapath);
				if (datapath === "nft") {
					await (await this.#nft.observe()).change({ entries, answered: answeredOf(observed) });
				} else await (await this.#ebpf.observe()).change({ entries });
			}
			return error;
		} catch (second) {
			const why = second instanceof Error ? second.message : String(second);
			return withNotes(error, [`restoring the rules failed too: ${why}`]);
		}
	}
}

/** In the order of iptables: by family, table and chain, then by ordinal. */
function inListOrder(a: ObservedRule, b: ObservedRule): number {
	if (a.rule.family !== b.rule.family) return a.rule.family === "ipv4" ? -1 : 1;
	if (a.rule.table !== b.rule.table) return a.rule.table === "raw" ? -1 : 1;
	const chains: readonly string[] = CHAINS[a.rule.table];
	return chains.indexOf(a.rule.chain) - chains.indexOf(b.rule.chain) || a.ordinal - b.ordinal;
}
