/**
 * Watches the nft datapath: packets that a chain with rules is about to see are logged to this process
 * (nft-table.ts), and the oracle, against which tests compare nft, computes what the kernel's rules do to
 * each. The logging table belongs to a socket of this process: when this process dies, in whatever way, the
 * kernel deletes the table.
 */

import { setTimeout as delay } from "node:timers/promises";
import { listInterfaces } from "@l3dsr/linux";
import {
	type Command,
	GATHER_MS,
	type LoggedPacket,
	Nftables,
	NftablesError,
	PacketLog,
} from "@l3dsr/nftables";
import { addressFromBytes, dscpOfTos, type Family, type Prefix } from "@l3dsr/packet";
import { L3dsrError } from "../../errors.ts";
import { localPrefixes } from "../../host/local-prefixes.ts";
import { sameValue } from "../../model/rule.ts";
import { nftFamily } from "../../rewrite/nft/compile/table.ts";
import { NftDatapath } from "../../rewrite/nft/kernel/nft.ts";
import { rewriteByRules } from "../../rewrite/oracle/oracle.ts";
import { asLongAsItSays } from "./cut-packet.ts";
import { LEFT_OUT, logPrefix, type WatchedChain, watchedChains, watchTable } from "./nft-table.ts";
import type { Receive, Rewriting, Watcher, WatchOptions } from "./sighting.ts";

const FAMILIES: readonly Family[] = ["ipv4", "ipv6"];
/** NFLOG groups to try; few programs use any, and those use small numbers. */
const FIRST_GROUP = 27_000;
const GROUPS_TRIED = 64;
const MOST_FLOWS = 65536;

/** Per process: each has its own tables. */
let watchers = 0;

export class NftWatcher implements Watcher {
	readonly #options: WatchOptions;
	readonly #nftables = new Nftables();
	readonly #datapath = new NftDatapath();
	readonly #table = `l3dsr_watch_${process.pid}_${++watchers}`;
	readonly #flows = new Set<string>();
	/** Generation of the ruleset at the last read. */
	#generation: number | undefined;
	#chains: readonly WatchedChain[] = [];
	#tables: readonly WatchTable[] = [];
	#local: readonly Prefix[] = [];
	#names: ReadonlyMap<number, string> = new Map();
	/** Owns the tables. */
	#owner: Nftables | undefined;
	#log: PacketLog | undefined;
	/** Logged but not processed yet. */
	#pending: LoggedPacket[] = [];
	/** Seen while the rules changed. */
	#doubtful = 0;
	/** Reported or not, since the counters were last read. */
	#seen = 0;
	#counted = 0n;
	/** Packets counted by tables that no longer exist. */
	#countedBefore = 0n;

	constructor(options: WatchOptions) {
		this.#options = options;
	}

	get leftOut(): bigint {
		return this.#countedBefore + this.#counted + BigInt((this.#log?.lost ?? 0) + this.#doubtful);
	}

	readonly notes: readonly string[] = [];

	get places(): number {
		return this.#chains.length;
	}

	/** Packets wait until it is known which rules were in force when they arrived. */
	get stale(): boolean {
		return this.#pending.length > 0;
	}

	read(receive: Receive): void {
		this.#log?.read((packet) => {
			this.#seen++;
			this.#pending.push(packet);
		});
		// A ruleset that is still the same was the same all the time.
		if (this.#pending.length > 0 && this.#nftables.generation() === this.#generation) this.#tell(receive);
	}

	async refresh(receive: Receive): Promise<void> {
		if (this.#chains.some(({ rules }) => rules.some(({ matches }) => matches.some(asksForLocal)))) {
			this.#local = localPrefixes();
		}
		// Read the counters only if the limit may have been reached.
		if (this.#seen >= this.#options.rate / 2) this.#countLeftOut();
		this.#seen = 0;
		this.read(receive);
		// Adding our table is itself a change, and others may change something meanwhile: repeat until nothing
		// changes.
		for (;;) {
			const generation = this.#nftables.generation();
			if (generation === this.#generation) return;
			const { rules } = await this.#datapath.observe();
			const chains = watchedChains(rules.map(({ rule }) => rule));
			if (!sameValue(chains, this.#chains)) {
				// The kernel delivers log messages with a delay.
				await delay(2 * GATHER_MS);
				this.#log?.read((packet) => this.#pending.push(packet));
				this.#doubtful += this.#pending.length;
				this.#pending = [];
				this.#chains = chains;
				this.#local = chains.length === 0 ? [] : localPrefixes();
			}
			if (this.#hang()) continue;
			this.#generation = generation;
			this.#tell(receive);
			return;
		}
	}

	#tell(receive: Receive): void {
		for (const packet of this.#pending) {
			const sighting = this.#evaluate(packet);
			if (sighting !== undefined && this.#isWanted(sighting)) receive(sighting);
		}
		this.#pending = [];
	}

	/** Brings `leftOut` up to date. */
	#countLeftOut(): void {
		let sum = 0n;
		for (const { family } of this.#tables) {
			const table = { family: nftFamily(family), name: this.#table };
			sum += this.#nftables.counter(table, LEFT_OUT)?.packets ?? 0n;
		}
		this.#counted = sum;
	}

	/** Updates the tables to match the rules; false if they already do. */
	#hang(): boolean {
		const { filter, rate } = this.#options;
		if (this.#chains.length > 0) this.#log ??= openLog();
		const group = this.#log?.group ?? 0;
		const tables = FAMILIES.flatMap((family): WatchTable[] => {
			const commands = watchTable(family, this.#chains, { name: this.#table, group, rate, filter });
			return commands === undefined ? [] : [{ family, commands }];
		});
		if (sameValue(tables, this.#tables)) return false;
		if (this.#tables.length > 0) this.#countLeftOut();
		this.#countedBefore += this.#counted;
		this.#counted = 0n;
		this.#owner?.[Symbol.dispose]();
		this.#owner = undefined;
		this.#tables = [];
		if (tables.length === 0) return true;
		this.#owner = new Nftables();
		makeOwned(this.#owner, tables);
		this.#tables = tables;
		return true;
	}

	#evaluate(logged: LoggedPacket): Rewriting | undefined {
		const { family, prefix, mark, sourceMac } = logged;
		const watched = this.#chains.find((one) => one.family === family && logPrefix(one) === prefix);
		if (watched === undefined) return undefined;
		const inInterface = this.#nameOf(logged.inInterface);
		const outInterface = this.#nameOf(logged.outInterface);
		const { rules, chain } = watched;
		const result = rewriteByRules(asLongAsItSays(logged.bytes), rules, {
			inInterface,
			outInterface,
			mark,
			local: this.#local,
			...(sourceMac === undefined ? {} : { sourceMac }),
		});
		if (!result.evaluated) return undefined;
		const last = result.outcomes.findLastIndex(({ matched }) => matched);
		const rule = rules[last];
		if (rule === undefined) return undefined;
		const { packet } = result;
		const { transport } = packet;
		const hasPorts = transport?.portsPresent === true && transport.protocol === packet.protocol;
		const ports = hasPorts ? transport.offset : undefined;
		const word = (at: number) => ((result.bytes[at] ?? 0) << 8) | (result.bytes[at + 1] ?? 0);
		const original = (at: number) => ((logged.bytes[at] ?? 0) << 8) | (logged.bytes[at + 1] ?? 0);
		return {
			timeMs: performance.timeOrigin + performance.now(),
			by: "rule",
			datapath: "nft",
			interface: chain === "OUTPUT" || chain === "POSTROUTING" ? outInterface : inInterface,
			client: addressFromBytes(packet.source),
			real: addressFromBytes(packet.destination),
			vip: rule.target.daddr,
			dscp: dscpOfTos(packet.tos),
			...(packet.protocol === undefined ? {} : { protocol: packet.protocol }),
			...(ports === undefined ? {} : { ports: { client: word(ports), destination: original(ports + 2) } }),
			bytes: result.length,
			rule,
		};
	}

	/** The conditions that the table does not test, and flows. */
	#isWanted(sighting: Rewriting): boolean {
		const { filter, flows } = this.#options;
		if (filter.vip !== undefined && filter.vip.text !== sighting.vip.text) return false;
		if (!flows) return true;
		const { client, real, vip, protocol, ports, rule } = sighting;
		const key = [client.text, real.text, vip.text, protocol, ports?.client, ports?.destination].join(" ");
		const flow = `${key} ${rule.table} ${rule.chain} ${sighting.interface}`;
		if (this.#flows.has(flow)) return false;
		this.#flows.add(flow);
		const [oldest] = this.#flows;
		if (this.#flows.size > MOST_FLOWS && oldest !== undefined) this.#flows.delete(oldest);
		return true;
	}

	#nameOf(index: number | undefined): string {
		if (index === undefined) return "";
		if (!this.#names.has(index)) this.#names = new Map(listInterfaces().map((one) => [one.index, one.name]));
		return this.#names.get(index) ?? "";
	}

	[Symbol.dispose](): void {
		this.#owner?.[Symbol.dispose]();
		this.#log?.[Symbol.dispose]();
		this.#nftables[Symbol.dispose]();
	}
}

interface WatchTable {
	readonly family: Family;
	readonly commands: readonly Command[];
}

/** Throws L3dsrError (KERNEL_FEATURE) if tables cannot have owners. */
function makeOwned(owner: Nftables, tables: readonly WatchTable[]): void {
	try {
		owner.transact(tables.flatMap(({ commands }) => commands));
	} catch (error) {
		const unknownFlag = error instanceof NftablesError && error.command === 0 && error.code !== "PERMISSION";
		if (!unknownFlag) throw error;
		throw new L3dsrError(
			{
				code: "KERNEL_FEATURE",
				message: `watch the nft datapath: a table with an owner needs Linux >= 5.12: ${error.message}`,
				hint: "see their counters with l3dsr status --watch; on Linux >= 6.6, both datapaths can be watched",
			},
			{ cause: error },
		);
	}
}

function openLog(): PacketLog {
	const first = FIRST_GROUP + (process.pid % 1000);
	return PacketLog.open(Array.from({ length: GROUPS_TRIED }, (_, i) => first + i));
}

function asksForLocal({ kind }: { readonly kind: string }): boolean {
	return kind === "addrtype";
}
