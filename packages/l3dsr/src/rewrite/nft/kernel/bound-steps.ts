/**
 * Transactions one after the other, each bound to the ruleset that it was planned on. When somebody else has changed
 * nf_tables since, the kernel refuses it; where that was not about our tables, as the kernel itself tells, the plan is
 * still right and is sent again for the new generation. So a firewall that reloads without a pause is no obstacle.
 */
import {
	type Command,
	type Nftables,
	NftablesError,
	type RulesetEvent,
	type RulesetMonitor,
} from "@l3dsr/nftables";
import { tableOf } from "../compile/table.ts";

/** Each takes less than a millisecond, and a reload some milliseconds. */
const ATTEMPTS = 256;
/** The kernel tells of a transaction directly behind it. */
const TOLD_WITHIN_MS = 1000;

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

	/** Takes over the generations that others have made; false when one of them was about our tables. */
	#follow(): boolean {
		if (this.#monitor === undefined) return false;
		let isOurs = false;
		for (let told = false; !told; ) {
			if (!this.#monitor.wait(TOLD_WITHIN_MS)) return false;
			for (const event of this.#monitor.read()) {
				if (event.kind === "lost") return false;
				isOurs ||= isAboutOurTables(event);
				told = event.kind === "generation";
				if (event.kind !== "generation") continue;
				// What was told of an older ruleset than was read, or of our own doing, changes nothing.
				const known = isBehind(event.generation, this.#generation) || this.#own.has(event.generation);
				if (isOurs && !known) return false;
				if (!known) this.#generation = event.generation;
				isOurs = false;
			}
		}
		return true;
	}
}

/** The kernel counts each transaction, and leaves out 0 (nf_tables_commit). */
function after(generation: number): number {
	return (generation + 1) >>> 0 || 1;
}

/** `a` is `b`, or came before it; the number begins anew after 32 bits. */
function isBehind(a: number, b: number): boolean {
	return (b - a) >>> 0 < 0x8000_0000;
}

function isAboutOurTables(event: RulesetEvent): boolean {
	if (event.kind === "generation" || event.kind === "lost") return false;
	// What cannot be told may be.
	const { table } = event;
	return (
		table === undefined || OURS.some(({ family, name }) => table.family === family && table.name === name)
	);
}
