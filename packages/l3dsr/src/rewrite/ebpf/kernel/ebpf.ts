/**
 * The eBPF datapath: one program for each interface with rules, replaced as a whole and observed through the kernel's
 * query interface. Nothing is pinned, and no file is kept.
 *
 * Most hosts have no program: what reads and changes programs is loaded where there may be some, or shall be.
 */

import { interfacesWithIngress, isTcxEmpty } from "@l3dsr/bpf";
import { listInterfaces, type NetInterface } from "@l3dsr/linux";
import type { Prefix } from "@l3dsr/packet";
import { type Missing, privilegeMissing } from "../../../host/capabilities.ts";
import type { DatapathSettings } from "../../../model/configuration.ts";
import type { Ruleset } from "../../../model/ruleset.ts";
import type { Datapath, Snapshot } from "../../datapath.ts";
import { isRefusal, missingForPrograms } from "./access.ts";
import type { ProgramRecord } from "./attachment.ts";
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
		if (missing !== undefined) return await unobserved(missing);
		this.#isAllowed = true;
		try {
			return await this.#observeAll();
		} catch (error) {
			if (!isRefusal(error)) throw error;
			const { refusedByKernel } = await import("./refused.ts");
			const refused = refusedByKernel();
			if (refused === undefined) throw error;
			return await unobserved(refused);
		}
	}

	async #observeAll(): Promise<EbpfSnapshot> {
		const interfaces = listInterfaces();
		const { records, ...observed } = mayHavePrograms(interfaces)
			? await (await import("./observe-programs.ts")).observePrograms(interfaces, this.#options)
			: this.#none();
		return {
			interfaces,
			...observed,
			change: (desired) => this.#change(desired, interfaces, records),
		};
	}

	#none(): ObservedPrograms {
		this.#options.memory?.note([]);
		return { directors: [], rules: [], findings: [], records: [] };
	}

	async #change(
		desired: Ruleset,
		interfaces: readonly NetInterface[],
		records: readonly ProgramRecord[],
	): Promise<void> {
		if (desired.entries.length + records.length === 0) return;
		const { changePrograms } = await import("./change-programs.ts");
		await changePrograms(desired, { interfaces, records }, this.#options);
	}
}

/** What was found at the hooks: see {@link EbpfSnapshot}. The records are values, which outlive descriptors. */
export interface ObservedPrograms extends Pick<EbpfSnapshot, "directors" | "rules" | "findings"> {
	readonly records: readonly ProgramRecord[];
}

/** Whether any program, ours or not, may be attached here. Asks the least that answers. */
function mayHavePrograms(interfaces: readonly NetInterface[]): boolean {
	return interfaces.some((on) => on.xdp || !isTcxEmpty("ingress", on)) || interfacesWithIngress().size > 0;
}

/** For a process that may not read programs: it makes no change either, and the rules go to nft (assign.ts). */
async function unobserved(missing: Missing): Promise<EbpfSnapshot> {
	const { hiddenPrograms } = await import("./refused.ts");
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
