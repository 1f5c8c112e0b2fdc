/**
 * Watches the nft datapath: packets that a chain with rules is about to see are logged to this process
 * (nft-table.ts), and the reference, to which nft is held on the same packets, says what the rules that
 * the kernel has do to each.
 *
 * The logging table belongs to a child process, `nft -i`, whose standard input is ours: when this process
 * dies, however it dies, the input ends, nft ends, and the kernel takes the table away.
 */

import { setTimeout as delay } from "node:timers/promises";
import {
	GATHER_MS,
	type LoggedPacket,
	listInterfaces,
	nftTableExists,
	PacketLog,
	rulesetGeneration,
} from "@l3dsr/linux";
import { addressFromBytes, dscpOfTos, type Family, type Prefix } from "@l3dsr/packet";
import { L3dsrError } from "../../errors.ts";
import { type HeldProgram, holdProgram } from "../../host/held-program.ts";
import { localPrefixes } from "../../host/local-prefixes.ts";
import { type Environment, type ProgramRunner, systemPrograms } from "../../host/process.ts";
import { sameValue } from "../../model/rule.ts";
import { nftFamily } from "../../rewrite/nft/compile/statement.ts";
import { NftDatapath } from "../../rewrite/nft/kernel/nft.ts";
import { rewriteByRules } from "../../rewrite/oracle/oracle.ts";
import { LEFT_OUT, logPrefix, type WatchedChain, watchedChains, watchTable } from "./nft-table.ts";
import type { Receive, Sighting, Watcher, WatchOptions } from "./sighting.ts";

const FAMILIES: readonly Family[] = ["ipv4", "ipv6"];
/** NFLOG groups that are tried; few programs use any, and those use small numbers. */
const FIRST_GROUP = 27_000;
const GROUPS_TRIED = 64;
const TABLE_TIMEOUT_MS = 5000;
const MOST_FLOWS = 65536;

/** Of this process: each has tables of its own. */
let watchers = 0;

export class NftWatcher implements Watcher, AsyncDisposable {
	readonly #options: WatchOptions;
	readonly #env: Environment;
	readonly #programs: ProgramRunner;
	readonly #datapath: NftDatapath;
	readonly #table = `l3dsr_watch_${process.pid}_${++watchers}`;
	readonly #flows = new Set<string>();
	/** Of the ruleset when it was last read. */
	#generation: number | undefined | "unread" = "unread";
	#chains: readonly WatchedChain[] = [];
	#commands: readonly { readonly family: Family; readonly text: string }[] = [];
	#local: readonly Prefix[] = [];
	#names: ReadonlyMap<number, string> = new Map();
	#nft: HeldProgram | undefined;
	#log: PacketLog | undefined;
	/** Logged and not looked at yet. */
	#pending: LoggedPacket[] = [];
	/** Seen while the rules changed. */
	#doubtful = 0;
	/** Told or not, since the counters were last asked. */
	#seen = 0;
	#counted = 0n;
	/** Of tables that are gone. */
	#countedBefore = 0n;

	constructor(options: WatchOptions, env: Environment) {
		this.#options = options;
		this.#env = env;
		this.#programs = systemPrograms(env);
		this.#datapath = new NftDatapath(this.#programs);
	}

	get leftOut(): bigint {
		return this.#countedBefore + this.#counted + BigInt((this.#log?.lost ?? 0) + this.#doubtful);
	}

	readonly notes: readonly string[] = [];

	get places(): number {
		return this.#chains.length;
	}

	/** Packets wait while it is open what the rules were when they came. */
	get stale(): boolean {
		return this.#pending.length > 0;
	}

	read(receive: Receive): void {
		this.#log?.read((packet) => {
			this.#seen++;
			this.#pending.push(packet);
		});
		// A ruleset that is still the same was the same all the time.
		if (this.#pending.length > 0 && rulesetGeneration() === this.#generation) this.#tell(receive);
	}

	async refresh(receive: Receive): Promise<void> {
		if (this.#chains.some(({ rules }) => rules.some(({ matches }) => matches.some(asksForLocal)))) {
			this.#local = localPrefixes();
		}
		// Only where the limit may have been met is there something to ask for.
		if (this.#seen >= this.#options.rate / 2) await this.#countLeftOut();
		this.#seen = 0;
		this.read(receive);
		// What we hang is a change itself, and others may change something meanwhile: until all is quiet.
		for (;;) {
			const generation = rulesetGeneration();
			if (generation === this.#generation && this.#nft?.ended !== true) return;
			const { rules } = await this.#datapath.observe();
			const chains = watchedChains(rules.map(({ rule }) => rule));
			if (!sameValue(chains, this.#chains)) {
				// The kernel hands over what it has logged with a delay.
				await delay(2 * GATHER_MS);
				this.#log?.read((packet) => this.#pending.push(packet));
				this.#doubtful += this.#pending.length;
				this.#pending = [];
				this.#chains = chains;
				this.#local = chains.length === 0 ? [] : localPrefixes();
			}
			if (await this.#hang()) continue;
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

	/** Brings `leftOut` up to date, which costs a run of nft. */
	async #countLeftOut(): Promise<void> {
		let sum = 0n;
		for (const { family } of this.#commands) {
			const args = ["-j", "list", "counter", nftFamily(family), this.#table, LEFT_OUT];
			const { stdout } = await this.#programs.run("nft", args);
			sum += BigInt(/"packets": (\d+)/.exec(stdout)?.[1] ?? 0);
		}
		this.#counted = sum;
	}

	/** Makes the tables what the rules ask for; false when they are that already. */
	async #hang(): Promise<boolean> {
		const { filter, rate } = this.#options;
		if (this.#chains.length > 0) this.#log ??= openLog();
		const group = this.#log?.group ?? 0;
		const commands = FAMILIES.flatMap((family) => {
			const text = watchTable(family, this.#chains, { name: this.#table, group, rate, filter });
			return text === undefined ? [] : [{ family, text }];
		});
		const same = (a: typeof commands) => a.map(({ text }) => text).join();
		if (same(commands) === same([...this.#commands]) && this.#nft?.ended !== true) return false;
		if (this.#commands.length > 0) await this.#countLeftOut();
		this.#countedBefore += this.#counted;
		this.#counted = 0n;
		await this.#nft?.[Symbol.asyncDispose]();
		this.#nft = undefined;
		this.#commands = [];
		if (commands.length === 0) return true;
		this.#nft = await holdProgram(this.#env, "nft", ["-i"]);
		this.#nft.write(`${commands.map(({ text }) => text).join("\n")}\n`);
		this.#commands = commands;
		await this.#tablesMade(this.#nft);
		return true;
	}

	/** Waits until the kernel has every table. Throws PROGRAM_FAILED with what nft says. */
	async #tablesMade(nft: HeldProgram): Promise<void> {
		const deadline = performance.now() + TABLE_TIMEOUT_MS;
		for (const { family } of this.#commands) {
			for (;;) {
				// All of it or nothing: one command of nft is one transaction.
				if (nftTableExists(nftFamily(family), this.#table) === true) break;
				if (nft.ended || nft.stderr !== "" || performance.now() > deadline) {
					const said = nft.stderr.trim().split("\n")[0] ?? "";
					throw new L3dsrError({
						code: /Operation not permitted/.test(said) ? "KERNEL_PERMISSION" : "PROGRAM_FAILED",
						message: `watch the nft datapath: make table ${nftFamily(family)} ${this.#table}: nft: ${said}`,
						hint: "a table with an owner needs Linux 5.12 and nft 1.0",
					});
				}
				await delay(10);
			}
		}
	}

	#evaluate(logged: LoggedPacket): Sighting | undefined {
		const { family, prefix, mark, sourceMac } = logged;
		const watched = this.#chains.find((one) => one.family === family && logPrefix(one) === prefix);
		if (watched === undefined) return undefined;
		const inInterface = this.#nameOf(logged.inInterface);
		const outInterface = this.#nameOf(logged.outInterface);
		const { rules, chain } = watched;
		const result = rewriteByRules(asLongAsItSays(logged.bytes, family), rules, {
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

	/** The conditions that the table does not ask for, and flows. */
	#isWanted(sighting: Sighting): boolean {
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

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#nft?.[Symbol.asyncDispose]();
		this.#log?.[Symbol.dispose]();
	}
}

function openLog(): PacketLog {
	const first = FIRST_GROUP + (process.pid % 1000);
	return PacketLog.open(Array.from({ length: GROUPS_TRIED }, (_, i) => first + i));
}

function asksForLocal({ kind }: { readonly kind: string }): boolean {
	return kind === "addrtype";
}

/** The packet as long as its header says: what the kernel logged may be cut, its headers are there. */
function asLongAsItSays(bytes: Uint8Array, family: Family): Uint8Array {
	const word = (at: number) => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
	const length = family === "ipv4" ? word(2) : 40 + word(4);
	if (length <= bytes.length) return bytes;
	const whole = new Uint8Array(length);
	whole.set(bytes);
	return whole;
}
