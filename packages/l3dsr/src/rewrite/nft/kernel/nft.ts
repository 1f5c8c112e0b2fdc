/** The nft datapath: compiles a ruleset to nf_tables, changes what differs, observes it back. By netlink. */
import { type Command, Nftables, NftablesError } from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";
import { L3dsrError } from "../../../errors.ts";
import type { Ruleset } from "../../../model/ruleset.ts";
import type { Datapath, Snapshot } from "../../datapath.ts";
import { type Change, planChange, type Standing } from "../compile/change.ts";
import { RuleReader } from "../compile/comment.ts";
import { listTable } from "../compile/listing.ts";
import { readTable } from "../compile/observe.ts";
import { tableOf } from "../compile/table.ts";

const FAMILIES: readonly Family[] = ["ipv4", "ipv6"];

/** Both tables, as they stood at one moment. */
interface Standings {
	readonly generation: number;
	readonly tables: { readonly [family in Family]: Standing | undefined };
}

/**
 * Somebody else's change of nf_tables makes ours one that was planned for another ruleset. Planned anew, each of these
 * takes some milliseconds.
 */
const ATTEMPTS = 32;

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

	/** Throws DATAPATH_CHANGED only when others do not stop changing nf_tables: each attempt is planned anew. */
	#change(desired: Ruleset, observed: Standings): void {
		using nftables = this.#open();
		for (const { rule, ordinal } of desired.entries) this.#readRule.expect(rule, ordinal);
		let standings = observed;
		for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
			if (changeOnce(nftables, desired, standings)) return;
			standings = this.#read(nftables);
		}
		throw new L3dsrError({
			code: "DATAPATH_CHANGED",
			message: `change the rules: other programs changed nftables during each of ${ATTEMPTS} attempts`,
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

/** False when the ruleset is not the one that `standings` were read from; then nothing is changed. */
function changeOnce(nftables: Nftables, desired: Ruleset, { generation, tables }: Standings): boolean {
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
	const steps = new BoundSteps(nftables, generation);
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

/** Transactions one after the other, each bound to the ruleset that the one before has left. */
class BoundSteps {
	readonly #nftables: Nftables;
	#generation: number;

	constructor(nftables: Nftables, generation: number) {
		this.#nftables = nftables;
		this.#generation = generation;
	}

	/** False when somebody else has changed the ruleset since. */
	run(commands: readonly Command[]): boolean {
		if (commands.length === 0) return true;
		try {
			this.#nftables.transact(commands, { generation: this.#generation });
		} catch (error) {
			if (error instanceof NftablesError && error.code === "CHANGED") return false;
			throw error;
		}
		// The kernel counts each transaction, and leaves out 0 (nf_tables_commit).
		this.#generation = (this.#generation + 1) >>> 0 || 1;
		return true;
	}
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
