/**
 * Runs transactions in order, each bound to the ruleset that it was planned on. If another process has changed
 * nf_tables since, the kernel refuses it. If the kernel reports that our tables were not affected, the plan is still
 * right and is sent again for the new generation. So a firewall that reloads all the time does not block us.
 */
import {
	type Command,
	type Nftables,
	NftablesError,
	nextGeneration,
	type RulesetMonitor,
} from "@l3dsr/nftables";
import { tableOf } from "../compile/table.ts";

/** Each attempt takes less than a millisecond, and a reload some milliseconds. */
const ATTEMPTS = 256;

const OURS = [tableOf("ipv4"), tableOf("ipv6")];

export class BoundSteps {
	readonly #nftables: Nftables;
	/** Has listened since before the ruleset was read; absent until another process has changed the ruleset. */
	readonly #monitor: RulesetMonitor | undefined;
	#generation: number;
	/** Generations that we have made ourselves. */
	readonly #own = new Set<number>();

	constructor(nftables: Nftables, generation: number, monitor: RulesetMonitor | undefined) {
		this.#nftables = nftables;
		this.#generation = generation;
		this.#monitor = monitor;
	}

	/** False if our tables have changed since they were read, or if that cannot be determined. */
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
		this.#generation = nextGeneration(this.#generation);
		this.#own.add(this.#generation);
		return true;
	}

	/** Accepts a generation made by others; false if they changed our tables. */
	#follow(): boolean {
		const latest = this.#monitor?.follow(OURS, this.#generation, { own: this.#own });
		if (latest === undefined) return false;
		this.#generation = latest;
		return true;
	}
}
