/** The nft datapath: compiles a ruleset to nf_tables, changes what differs, observes it back. By netlink. */
import { type Command, Nftables, NftablesError, RulesetMonitor } from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";
import { L3dsrError } from "../../../errors.ts";
import type { Ruleset } from "../../../model/ruleset.ts";
import type { Datapath, Snapshot } from "../../datapath.ts";
import { type Change, planChange, type Standing } from "../compile/change.ts";
import { RuleReader } from "../compile/comment.ts";
import { listTable } from "../compile/listing.ts";
import { readTable } from "../compile/observe.ts";
import { tableOf } from "../compile/table.ts";
import { BoundSteps } from "./bound-steps.ts";

const FAMILIES: readonly Family[] = ["ipv4", "ipv6"];

/** Both tables, as they stood at one moment. */
interface Standings {
	readonly generation: number;
	readonly tables: { readonly [family in Family]: Standing | undefined };
}

/** Somebody else changes our own tables, so that the change has to be planned anew: so often before that is an error. */
const ATTEMPTS = 16;

export class NftDatapath implements Datapath {
	readonly name = "nft";
	readonly #open: () => Nftables;
	readonly #readRule = new RuleReader();

	/** `open` may open it in another network namespace than that of this process. */
	constructor(open: () => Nftables = () => new Nftables()) {
		this.#open = open;
	}

	async observe(): Promise<Snapshot> {
		using nftables = this.#open();
		const standings = this.#read(nftables);
		const readings = FAMILIES.flatMap((family) => standings.tables[family]?.reading ?? []);
		return {
			rules: readings.flatMap(({ rules }) => rules),
			findings: readings.flatMap(({ findings }) => findings),
			change: async (desired) => this.#change(desired, standings),
		};
	}

	/** Throws DATAPATH_CHANGED only when others do not stop changing our tables: each attempt is planned anew. */
	#change(desired: Ruleset, observed: Standings): void {
		using nftables = this.#open();
		for (const { rule, ordinal } of desired.entries) this.#readRule.expect(rule, ordinal);
		if (changeOnce(nftables, desired, observed)) return;
		// Somebody has changed something. From here on we hear of what, so that only what concerns us counts.
		using monitor = new RulesetMonitor();
		for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
			if (changeOnce(nftables, desired, this.#read(nftables), monitor)) return;
		}
		throw new L3dsrError({
			code: "DATAPATH_CHANGED",
			message: `change the rules: another program changed table l3dsr of nftables during each of ${ATTEMPTS} attempts`,
			hint: "nft monitor shows who does; run this again when they have done",
		});
	}

	#read(nftables: Nftables): Standings {
		const { generation, tables } = nftables.read(FAMILIES.map(tableOf));
		this.#readRule.begin();
		const standing = (family: Family): Standing | undefined => {
			const contents = tables.find((one) => one.family === tableOf(family).family);
			if (contents === undefined) return undefined;
			const listing = listTable(contents, family);
			return { listing, reading: readTable(listing, this.#readRule) };
		};
		return { generation, tables: { ipv4: standing("ipv4"), ipv6: standing("ipv6") } };
	}
}

/**
 * False when our tables are not those that `standings` were read from; then nothing is changed. Without a `monitor`, any
 * change of nf_tables counts as one of our tables.
 */
function changeOnce(
	nftables: Nftables,
	desired: Ruleset,
	{ generation, tables }: Standings,
	monitor?: RulesetMonitor,
): boolean {
	const kernel = { countersInMaps: countersInMaps(nftables, desired, tables) };
	const changes = FAMILIES.map((family) =>
		planChange(
			family,
			desired.entries.filter(({ rule }) => rule.family === family),
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
	// The new rules are in force. What is left of the old ones does nothing and is removed next time.
	ignoringRefusal(() => steps.run(gather("cleanUp")));
	return true;
}

/** Maps that nothing looks up do no harm; should this fail too, the next change removes them. */
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

function countersInMaps(nftables: Nftables, desired: Ruleset, tables: Standings["tables"]): boolean {
	if (desired.entries.length === 0) return true;
	const known = FAMILIES.some((family) =>
		[...(tables[family]?.listing.maps.values() ?? [])].some(({ set }) => set.counters === true),
	);
	return known || nftables.supports("element counters");
}
