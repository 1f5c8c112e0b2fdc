/** The nft datapath: compiles a ruleset to nf_tables, changes what differs, and observes the result, all by netlink. */
import {
	type Command,
	type GenerationStep,
	Nftables,
	NftablesError,
	RulesetMonitor,
	TableMemory,
	type Snapshot as TablesSnapshot,
} from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";
import { L3dsrError } from "../../../errors.ts";
import { type Rule, sameValue } from "../../../model/rule.ts";
import type { Ruleset } from "../../../model/ruleset.ts";
import type { Datapath, ObserveOptions, Snapshot } from "../../datapath.ts";
import { type Change, type CurrentTable, planChange } from "../compile/change.ts";
import { RuleReader } from "../compile/comment.ts";
import { listTable } from "../compile/listing.ts";
import { missingTable, readTable, recounted } from "../compile/observe.ts";
import { tableOf } from "../compile/table.ts";
import { BoundSteps } from "./bound-steps.ts";

const FAMILIES: readonly Family[] = ["ipv4", "ipv6"];

/** Rules that run as programs, and whose answers are translated back here. */
export interface Answered {
	readonly answered?: readonly Rule[];
}

/** Like any datapath's snapshot; its changes also set up the translation of answers. */
export interface NftSnapshot extends Snapshot {
	/** `own`: this process's change of other tables since the observation. */
	change(desired: Ruleset & Answered, own?: GenerationStep): Promise<void>;
}

/** Both tables, read at one moment. */
interface CurrentTables {
	/** The snapshot that they were read from. */
	readonly snapshot: TablesSnapshot;
	readonly tables: { readonly [family in Family]: CurrentTable | undefined };
	/** The rules whose answers the readings assume. */
	readonly answered: readonly Rule[];
}

/** If others change our own tables, the change is planned again; after this many attempts it fails. */
const ATTEMPTS = 16;

export class NftDatapath implements Datapath {
	readonly name = "nft";
	readonly #open: () => Nftables;
	readonly #readRule = new RuleReader();
	readonly #memory = new TableMemory();
	/** The last reading. While the generation is the same, only counters can differ from it. */
	#last: CurrentTables | undefined;

	/** `open` may open it in a network namespace other than this process's. */
	constructor(open: () => Nftables = () => new Nftables()) {
		this.#open = open;
	}

	/** `answered`: the rules that are in force now. */
	async observe({
		oldCounters = false,
		answered = [],
	}: ObserveOptions & Answered = {}): Promise<NftSnapshot> {
		using nftables = this.#open();
		if (this.#last !== undefined && !sameValue(this.#last.answered, answered)) this.#last = undefined;
		const known = oldCounters && this.#isCurrent(nftables) ? this.#last : undefined;
		const current = known ?? this.#recount(nftables) ?? this.#read(nftables, answered);
		const readings = FAMILIES.map(
			(family) =>
				current.tables[family]?.reading ?? {
					rules: [],
					findings: missingTable(family, ofFamily(answered, family)),
				},
		);
		return {
			rules: readings.flatMap(({ rules }) => rules),
			findings: readings.flatMap(({ findings }) => findings),
			...(known === undefined ? {} : { oldCounters: true }),
			change: async (desired, own) => this.#change(desired, after(current, own)),
		};
	}

	/** Plans again after each attempt; throws DATAPATH_CHANGED only if others keep changing our tables. */
	#change(desired: Ruleset & Answered, observed: CurrentTables): void {
		using nftables = this.#open();
		for (const { rule, ordinal } of desired.entries) this.#readRule.expect(rule, ordinal);
		if (changeOnce(nftables, desired, observed)) return;
		// Another process has changed something. From here on, listen to what it is, so that only changes to our tables
		// count.
		using monitor = new RulesetMonitor({ detail: "tables" });
		for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
			if (changeOnce(nftables, desired, this.#read(nftables, observed.answered), monitor)) return;
		}
		throw new L3dsrError({
			code: "DATAPATH_CHANGED",
			message: `change the rules: another program changed table l3dsr of nftables during each of ${ATTEMPTS} attempts`,
			hint: "nft monitor shows who does; run the command again when it has stopped",
		});
	}

	#isCurrent(nftables: Nftables): boolean {
		return this.#last?.snapshot.generation === nftables.generation();
	}

	#recount(nftables: Nftables): CurrentTables | undefined {
		if (this.#last === undefined) return undefined;
		const { snapshot, tables, answered } = this.#last;
		const counters = nftables.readCounters(snapshot);
		if (counters === undefined) return undefined;
		const currentOf = (family: Family): CurrentTable | undefined => {
			const before = tables[family];
			const at = snapshot.tables.findIndex((one) => one.family === tableOf(family).family);
			const counted = counters[at];
			if (before === undefined || counted === undefined) return before;
			return { listing: before.listing, reading: recounted(before.reading, counted) };
		};
		return { snapshot, tables: { ipv4: currentOf("ipv4"), ipv6: currentOf("ipv6") }, answered };
	}

	#read(nftables: Nftables, answered: readonly Rule[]): CurrentTables {
		const snapshot = nftables.read(FAMILIES.map(tableOf), { memory: this.#memory });
		const { tables } = snapshot;
		this.#readRule.begin();
		const before = this.#last;
		const currentOf = (family: Family): CurrentTable | undefined => {
			const contents = tables.find((one) => one.family === tableOf(family).family);
			if (contents === undefined) return undefined;
			const listing = listTable(contents, family, before?.tables[family]?.listing);
			return { listing, reading: readTable(listing, this.#readRule, ofFamily(answered, family)) };
		};
		this.#last = { snapshot, tables: { ipv4: currentOf("ipv4"), ipv6: currentOf("ipv6") }, answered };
		return this.#last;
	}
}

/** The same tables in the generation after `own`, if `own` started from their generation. */
function after(current: CurrentTables, own: GenerationStep | undefined): CurrentTables {
	const { snapshot } = current;
	if (own?.before !== snapshot.generation) return current;
	return { ...current, snapshot: { ...snapshot, generation: own.after } };
}

/**
 * False if our tables are not those that `current` were read from; then nothing is changed. Without a `monitor`,
 * any change of nf_tables counts as one of our tables.
 */
function changeOnce(
	nftables: Nftables,
	desired: Ruleset & Answered,
	{ snapshot: { generation }, tables }: CurrentTables,
	monitor?: RulesetMonitor,
): boolean {
	const kernel = { countersInMaps: countersInMaps(nftables, desired, tables) };
	const changes = FAMILIES.map((family) =>
		planChange(
			family,
			{
				entries: desired.entries.filter(({ rule }) => rule.family === family),
				answered: ofFamily(desired.answered ?? [], family),
			},
			tables[family],
			kernel,
		),
	);
	const gather = (part: keyof Change): Command[] => changes.flatMap((one) => one[part]);
	const steps = new BoundSteps(nftables, generation, monitor);
	if (!steps.run(gather("prepare"))) return false;
	try {
		if (!steps.run(gather("swap"))) {
			undo(nftables, gather("undo"));
			return false;
		}
	} catch (error) {
		undo(nftables, gather("undo"));
		throw error;
	}
	// The new rules are in force. Leftovers of the old ones do nothing, and the next change removes them.
	ignoringRefusal(() => steps.run(gather("cleanUp")));
	return true;
}

function ofFamily(rules: readonly Rule[], family: Family): Rule[] {
	return rules.filter((rule) => rule.family === family);
}

/** Maps that nothing looks up do no harm; if this fails too, the next change removes them. */
function undo(nftables: Nftables, commands: readonly Command[]): void {
	ignoringRefusal(() => nftables.transact(commands));
}

function ignoringRefusal(work: () => void): void {
	try {
		work();
	} catch (error) {
		if (!(error instanceof NftablesError)) throw error;
	}
}

function countersInMaps(nftables: Nftables, desired: Ruleset, tables: CurrentTables["tables"]): boolean {
	if (desired.entries.length === 0) return true;
	const known = FAMILIES.some((family) =>
		[...(tables[family]?.listing.maps.values() ?? [])].some(({ set }) => set.counters === true),
	);
	return known || nftables.supports("element counters");
}
