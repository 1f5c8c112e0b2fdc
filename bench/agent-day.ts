/**
 * A day of an agent in fast motion: the events, scrapes and reconfigurations of 24 hours without the idle
 * time between them. Measures memory and descriptors of both of its processes.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Program, tcxIngress } from "@l3dsr/bpf";
import { deleteAddress, interfaceByName } from "@l3dsr/linux";
import { Nftables } from "@l3dsr/nftables";
import { verdictSpec } from "../packages/bpf/test/programs.ts";
import type { AgentProcess } from "../packages/l3dsr/test/agent/agent-process.ts";
import { configurationOf, next, PORT, RunningAgent, residentMb } from "./agent.ts";
import { environment } from "./commands.ts";
import { Receiver } from "./receiver.ts";

/**
 * What a busy host may see in 24 hours. A fault removes a VIP, which the agent adds again; other events only make it check
 * the host.
 */
export const WHOLE_DAY = { events: 49_500, faults: 500, scrapes: 10_000, reconfigurations: 1000 } as const;
/** The minimum duration of the run. */
const WHOLE_DAY_MS = 720_000;
/**
 * Share of the run before growth is measured: memory that the start and the first runs take is not growth.
 */
const WARM_UP = 0.25;
const SAMPLES = 240;
/** How far a sequence of the day may be ahead of another: a share of the run. */
const MOST_AHEAD = 1 / SAMPLES;

const SERVICES = 60;
/** The most services that a reconfiguration adds. */
const MOST_MORE = 3;
/**
 * Reconfigurations and faults take turns, because a reconfiguration also repairs what a fault has broken. The run waits for
 * the repair of the last fault of each turn.
 */
const TURN = 30;
const RECONFIGURATIONS_IN_TURN = 20;
/** Share of the scrapes. */
const MOST_FAILED = 0.01;
const RIGHT_WITHIN_MS = 60_000;

export interface Sample {
	/** Share of the day. */
	readonly share: number;
	readonly agentMb: number;
	readonly httpMb: number;
	readonly agentDescriptors: number;
	readonly httpDescriptors: number;
}

export interface Day {
	/** Share of 24 hours. */
	readonly share: number;
	/** Without the faults. */
	readonly events: number;
	readonly faults: number;
	readonly scrapes: number;
	/** Why scrapes failed, and how many for that reason. */
	readonly scrapeFailures: ReadonlyMap<string, number>;
	readonly reconfigurations: number;
	readonly repairs: number;
	readonly tookMs: number;
	readonly samples: readonly Sample[];
}

/**
 * The growth during a day: its last quarter compared with the one after the warm-up. For memory the medians;
 * for descriptors the minimum, which is the number that stays open between two runs.
 */
export interface Growth {
	readonly agentMb: number;
	readonly httpMb: number;
	readonly agentDescriptors: number;
	readonly httpDescriptors: number;
}

/**
 * `share` of a whole day, of events and of time. Throws if the agent ends, fails, or is not right at the end.
 */
export async function liveADay(
	bin: string,
	share: number,
	onSample: (sample: Sample) => void = () => {},
): Promise<Day> {
	const folder = mkdtempSync(join(tmpdir(), "l3dsr-day-"));
	const config = join(folder, "l3dsr.yaml");
	const configure = (more: number): void => {
		// Like configuration management: never a half-written file.
		writeFileSync(`${config}.new`, configurationOf(SERVICES + more));
		renameSync(`${config}.new`, config);
	};
	try {
		using host = new Receiver();
		host.enter();
		host.run("ip", "address", "add", "198.18.0.1/24", "dev", "v0");
		host.run("ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1");
		configure(0);
		await using running = await RunningAgent.start(join(bin, "l3dsr"), config);
		const { agent } = running;
		using events = new Events();
		const day = new Faster(share * WHOLE_DAY_MS);
		let repairs = 0;
		const scrapeFailures = new Map<string, number>();
		using _repairs = agent.onRecord(({ kind }) => {
			if (kind === "repaired") repairs++;
		});
		const samples: Sample[] = [];
		const counts = {
			events: Math.ceil(share * WHOLE_DAY.events),
			faults: Math.ceil(share * WHOLE_DAY.faults),
			scrapes: Math.ceil(share * WHOLE_DAY.scrapes),
			reconfigurations: Math.ceil(share * WHOLE_DAY.reconfigurations),
		};
		const begun = performance.now();
		await Promise.all([
			day.paced(counts.events, async (number) => events.happen(number)),
			day.paced(counts.scrapes, async () => {
				await scrape().catch(({ message }: Error) => {
					scrapeFailures.set(message, (scrapeFailures.get(message) ?? 0) + 1);
				});
			}),
			day.paced(counts.reconfigurations + counts.faults, async (number) => {
				const [turn, place] = [Math.floor(number / TURN), number % TURN];
				if (place < RECONFIGURATIONS_IN_TURN) {
					const configured = next(agent, "configured");
					configure(1 + (number % MOST_MORE));
					await configured;
					return;
				}
				const fault = turn * (TURN - RECONFIGURATIONS_IN_TURN) + place - RECONFIGURATIONS_IN_TURN;
				const repaired = place === TURN - 1 ? next(agent, "repaired") : undefined;
				events.takeVip(fault % SERVICES);
				await repaired;
			}),
			day.paced(SAMPLES, async (number) => {
				const sample = sampleOf(agent, number / SAMPLES);
				samples.push(sample);
				onSample(sample);
			}),
		]);
		const tookMs = performance.now() - begun;
		// On a busy machine, the agent may need longer than the ten seconds that it has for an answer.
		if (failedIn(scrapeFailures) > counts.scrapes * MOST_FAILED) {
			const reasons = [...scrapeFailures].map(([reason, times]) => `${times} times ${reason}`);
			throw new Error(
				`of ${counts.scrapes} scrapes failed ${reasons.join(", ")}; said: ${agent.said.join("; ")}`,
			);
		}
		await untilRight(bin, config);
		return { ...counts, share, scrapeFailures, repairs, tookMs, samples };
	} finally {
		rmSync(folder, { recursive: true });
	}
}

export function growthOf({ samples }: Pick<Day, "samples">): Growth {
	const between = (from: number, to: number, what: keyof Growth): number[] =>
		samples
			.filter(({ share }) => share >= from && share < to)
			.map((one) => one[what])
			.sort((a, b) => a - b);
	const median = (values: readonly number[]): number => values[values.length >> 1] ?? Number.NaN;
	const least = ([first = Number.NaN]: readonly number[]): number => first;
	const grown = (what: keyof Growth, typical: typeof median): number =>
		typical(between(0.75, 1, what)) - typical(between(WARM_UP, 0.5, what));
	return {
		agentMb: grown("agentMb", median),
		httpMb: grown("httpMb", median),
		agentDescriptors: grown("agentDescriptors", least),
		httpDescriptors: grown("httpDescriptors", least),
	};
}

/** Distributes several sequences of actions over a time, at least; none is ahead of the others. */
class Faster {
	readonly #begun = performance.now();
	readonly #lastsMs: number;
	/** The share that each sequence has done. */
	readonly #done: number[] = [];

	constructor(lastsMs: number) {
		this.#lastsMs = lastsMs;
	}

	/** Performs the actions one after the other, none before its time. */
	async paced(count: number, act: (number: number) => Promise<void>): Promise<void> {
		const own = this.#done.push(0) - 1;
		try {
			for (let number = 0; number < count; number++) {
				const share = number / count;
				this.#done[own] = share;
				// Let other actions run even if this one is late.
				await sleep(Math.max(0, share * this.#lastsMs - (performance.now() - this.#begun)));
				while (share > Math.min(...this.#done) + MOST_AHEAD) await sleep(50);
				await act(number);
			}
		} finally {
			this.#done[own] = 1;
		}
	}
}

export function failedIn(failures: Day["scrapeFailures"]): number {
	return [...failures.values()].reduce((sum, times) => sum + times, 0);
}

/** Events of a host, of several kinds in turn. */
class Events implements Disposable {
	/** One process for all its changes. */
	readonly #ip: ChildProcess = spawn("ip", ["-batch", "-"], { stdio: ["pipe", "ignore", "inherit"] });
	readonly #foreign = Program.load(verdictSpec("tc", -1, "foreign"));
	readonly #nftables = new Nftables();

	happen(number: number): void {
		EVENTS[number % EVENTS.length]?.(this, number);
	}

	changeLink(number: number): void {
		this.#ip.stdin?.write(`link set d0 mtu ${1400 + (number % 100)}\n`);
	}

	/** Attaches or detaches another program at the end of the list. */
	changePrograms(): void {
		const v0 = interfaceByName("v0");
		const standing = tcxIngress.query(v0).find(({ programId }) => programId === this.#foreign.info.id);
		if (standing === undefined) tcxIngress.attach(v0, this.#foreign);
		else tcxIngress.detach(v0, standing);
	}

	/** A transaction that leaves our own table unchanged. */
	touchTable(number: number): void {
		const table = { family: "arp", name: "l3dsr" } as const;
		const name = `passing${number}`;
		this.#nftables.transact([
			{ do: "add chain", table, chain: { name } },
			{ do: "delete chain", table, chain: name },
		]);
	}

	changeForeignTable(number: number): void {
		const table = { family: "ip", name: `foreign${number}` } as const;
		this.#nftables.transact([{ do: "add table", table }]);
		this.#nftables.transact([{ do: "delete table", table }]);
	}

	takeVip(index: number): void {
		const bytes = Uint8Array.of(198, 18, 1, index);
		deleteAddress({ index: interfaceByName("lo").index, bytes, prefixLength: 32 });
	}

	[Symbol.dispose](): void {
		this.#ip.stdin?.end();
		this.#foreign[Symbol.dispose]();
		this.#nftables[Symbol.dispose]();
	}
}

const link = (events: Events, number: number): void => events.changeLink(number);
const own = (events: Events, number: number): void => events.touchTable(number);
const foreign = (events: Events, number: number): void => events.changeForeignTable(number);
const programs = (events: Events): void => events.changePrograms();

/** In turn. */
const EVENTS = [link, own, foreign, link, own, foreign, link, programs] as const;

async function scrape(): Promise<void> {
	const { promise, resolve, reject } = Promise.withResolvers<void>();
	// A new connection each time: the server may close a kept one just as it is used again.
	const where = { host: "127.0.0.1", port: PORT, path: "/metrics", agent: false, timeout: RIGHT_WITHIN_MS };
	const request = get(where, (response) => {
		if (response.statusCode !== 200) reject(new Error(`a scrape was answered with ${response.statusCode}`));
		response.on("end", resolve);
		response.on("error", reject);
		response.resume();
	});
	request.on("error", reject);
	await promise;
}

function sampleOf(agent: AgentProcess, share: number): Sample {
	const { pid, httpPid } = agent;
	return {
		share,
		agentMb: residentMb(pid),
		httpMb: residentMb(httpPid),
		agentDescriptors: readdirSync(`/proc/${pid}/fd`).length,
		httpDescriptors: readdirSync(`/proc/${httpPid}/fd`).length,
	};
}

async function untilRight(bin: string, config: string): Promise<void> {
	for (const begun = performance.now(); performance.now() - begun < RIGHT_WITHIN_MS; ) {
		const diff = spawn(join(bin, "l3dsr"), ["diff", "-c", config], { stdio: "ignore", env: environment() });
		const [exitCode] = await once(diff, "close");
		if (exitCode === 0) return;
		await sleep(500);
	}
	throw new Error(`the host is not as ${config} says, ${RIGHT_WITHIN_MS / 1000} s after the day`);
}
