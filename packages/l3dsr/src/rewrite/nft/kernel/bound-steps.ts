/**
 * Transactions one after the other, each bound to the ruleset that it was planned on. When somebody else has changed
 * nf_tables since, the kernel refuses it; where that was not about our tables, as the kernel itself tells, the plan is
 * still right and is sent again for the new generation. So a firewall that reloads without a pause is not an obstacle.
 */
import { type Command, type Nftables, NftablesError, type RulesetMonitor } from "@l3dsr/nftables";
import { tableOf } from "../compile/table.ts";

/** Each takes less than a millisecond, and a reload some milliseconds. */
const ATTEMPTS = 256;

const OURS = [tableOf("ipv4"), tableOf("ipv6")];

export class BoundSteps {
	readonly #nftables: Nftables;
	/** Listening since before the ruleset was read; absent where nobody has changed it yet. */
	readonly #monitor: RulesetMonitor | undefined;
	#generation: number;
	/** Generations that we have made ourselves. */
	readonly #own = new Set<number>();

	constructor(nftables: Nftables, generation: number, monitor: RulesetMonitor | undefined) {
		this.#nftables = nftables;
		this.#generation = generation;
		this.#monitor = monitor;
	}

	/** False when our tables are not as they were when they were read, or when that cannot be told. */
	run(commands: readonly Command[]): boolean {
		if (commands.length === 0) return true;
		for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
			if (this.#send(commands)) return true;
			if (!this.#follow()) return false;
		}
		return false;
	}

	#send(commands: readonly Command[]): boolean {
		try {
			this.#nftables.transact(commands, { generation: this.#generation });
		} catch (error) {
			if (error instanceof NftablesError && error.code === "CHANGED") return false;
			throw error;
		}
		this.#generation = after(this.#generation);
		this.#own.add(this.#generation);
		return true;
	}

	/** Takes over the generation that others have made; false when they changed our tables. */
	#follow(): boolean {
		const latest = this.#monitor?.follow(OURS, this.#generation, { own: this.#own });
		if (latest === undefined) return false;
		this.#generation = latest;
		return true;
	}
}

/** The kernel counts each transaction, and leaves out 0 (nf_tables_commit). */
function after(generation: number): number {
	return (generation + 1) >>> 0 || 1;
}
