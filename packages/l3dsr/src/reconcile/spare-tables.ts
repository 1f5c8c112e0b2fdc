/**
 * The tables of a host as transactions that are encoded already, for when something deletes them: with a thousand
 * services, planning and encoding a table take longer than the kernel takes to make it. A table is sent only if it is
 * missing, and nothing else in nf_tables changes meanwhile. The caller reads the whole host afterwards.
 */
import {
	type Nftables,
	NftablesError,
	nextGeneration,
	PreparedTransaction,
	type TableId,
} from "@l3dsr/nftables";
import { GUARD_TABLE, NO_GUARD, planGuardChange } from "../host/vip-guard.ts";
import { signatureOf } from "../model/lower-service.ts";
import { sameValue } from "../model/rule.ts";
import { placeOf, type RuleEntry } from "../model/ruleset.ts";
import type { HostState, Step } from "../plan/host-state.ts";
import { planSteps } from "../plan/plan-steps.ts";
import type { DatapathFinding } from "../rewrite/datapath.ts";
import { wholeTables } from "../rewrite/nft/compile/whole-tables.ts";
import { answeredOf } from "../rewrite/steps-between.ts";
import type { Plan } from "./target.ts";

/** The most memory for the transactions of a host, in bytes; 1,000 services with ports take 3 MB. */
const MOST_BYTES = 16 << 20;

interface Spare {
	readonly table: TableId;
	readonly transaction: PreparedTransaction;
	/** The rules in force through it; the guard has none. */
	readonly entries: readonly RuleEntry[];
	readonly findings: readonly DatapathFinding[];
}

/** Tables that were missing and are there again, as if a plan had made them. */
export interface Restored {
	/** The host without them. */
	readonly state: HostState;
	readonly steps: readonly Step[];
}

export class SpareTables {
	readonly #open: () => Nftables;
	#plan: Plan | undefined;
	#spares: readonly Spare[] = [];

	constructor(open: () => Nftables) {
		this.#open = open;
	}

	/**
	 * Prepares the tables of a plan without steps; those of the plan before only if they differ. Prepares none if the
	 * kernel cannot be asked: then a plan makes the tables, which takes longer.
	 */
	keep(plan: Plan): void {
		if (this.#plan === undefined || !haveSameTables(this.#plan, plan)) {
			this.#spares = [];
			try {
				const spares = sparesOf(plan, this.#open());
				const bytes = spares.reduce((sum, { transaction }) => sum + transaction.size, 0);
				if (bytes <= MOST_BYTES) this.#spares = spares;
			} catch (error) {
				if (!(error instanceof NftablesError)) throw error;
			}
		}
		this.#plan = plan;
	}

	/** Whether a table is missing that {@link restore} would restore. Throws NftablesError. */
	isMissing(): boolean {
		const nftables = this.#open();
		return this.#spares.some(({ table }) => !nftables.hasTable(table));
	}

	/** The caller holds the lock. Undefined if nothing was restored; then a plan tells why. Throws NftablesError. */
	restore(): Restored | undefined {
		const nftables = this.#open();
		let generation = nftables.generation();
		const missing = this.#spares.filter(({ table }) => !nftables.hasTable(table));
		const restored: Spare[] = [];
		for (const spare of missing) {
			if (!isTaken(() => nftables.send(spare.transaction, { generation }))) break;
			restored.push(spare);
			generation = nextGeneration(generation);
		}
		if (this.#plan === undefined || restored.length === 0) return undefined;
		const state = stateWithout(this.#plan, restored);
		return { state, steps: planSteps(state, this.#plan.desired) };
	}
}

/** A change that the kernel refuses is planned, and then refused with its reason. */
function isTaken(send: () => void): boolean {
	try {
		send();
		return true;
	} catch (error) {
		if (error instanceof NftablesError) return false;
		throw error;
	}
}

function haveSameTables(a: Plan, b: Plan): boolean {
	return sameValue(a.assignment.rules, b.assignment.rules) && sameValue(a.desired.guard, b.desired.guard);
}

/** The guard first: no ARP answer for a VIP may leave while the rules are sent. */
function sparesOf({ assignment, desired: { guard } }: Plan, nftables: Nftables): Spare[] {
	const guards =
		guard === undefined || guard === "none"
			? []
			: [{ table: GUARD_TABLE, entries: [], commands: planGuardChange(guard, NO_GUARD), findings: [] }];
	const answered = answeredOf(assignment.rules.map(({ entry: { rule }, datapath }) => ({ rule, datapath })));
	const tables = wholeTables(
		{ entries: assignment.nft.entries, answered },
		{ countersInMaps: nftables.supports("element counters") },
	);
	// A rule of iptables-daddr is lost with its table: the agent keeps only what its configuration says.
	const isOurs = ({ entries }: { readonly entries: readonly RuleEntry[] }): boolean =>
		entries.every(({ rule, counters }) => signatureOf(rule) !== undefined && counters === undefined);
	return [...guards, ...tables.filter(isOurs)].map(({ commands, ...spare }) => ({
		...spare,
		transaction: new PreparedTransaction(commands),
	}));
}

function stateWithout({ state, observed }: Plan, missing: readonly Spare[]): HostState {
	const gone = new Set(missing.flatMap(({ entries }) => entries.map(placeOf)));
	return {
		...state,
		rules: observed.snapshot.rules.filter((one) => one.datapath !== "nft" || !gone.has(placeOf(one))),
		findings: missing.flatMap(({ findings }) => findings),
		guard: missing.some(({ table }) => table === GUARD_TABLE) ? NO_GUARD : state.guard,
	};
}
