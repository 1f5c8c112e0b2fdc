/**
 * `l3dsr agent` on hosts of different sizes: the time from a fault to the repaired host, and the cost while
 * nothing happens and while it is scraped.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { tcxIngress } from "@l3dsr/bpf";
import { addAddress, deleteAddress, interfaceByName } from "@l3dsr/linux";
import { Nftables } from "@l3dsr/nftables";
import type { AgentRecord } from "../packages/l3dsr/src/agent/record.ts";
import { AgentProcess } from "../packages/l3dsr/test/agent/agent-process.ts";
import { environment } from "./commands.ts";
import type { Series } from "./measure.ts";
import { Receiver } from "./receiver.ts";

export interface AgentEffort {
	/** Number of agents started for each size. */
	readonly starts: number;
	/**
	 * Repairs of each fault under each agent, three at most: two faults remove the rules, and a thing that is
	 * broken eight times in a minute counts as contested (agent/contention.ts), which delays its repairs and
	 * fails the measurement.
	 */
	readonly repairs: number;
	/** The minimum time between two faults, in seconds. */
	readonly restS: number;
	/** Seconds before the first fault, until the aftermath of the start (garbage collection, too) is over. */
	readonly settleS: number;
	/** Seconds of measuring while nothing happens. The agent checks the whole host once a minute. */
	readonly idleS: number;
	readonly scrapeS: number;
}

export const FAULT = {
	flush: "the ruleset is flushed",
	vip: "a VIP is taken from lo",
	address: "an interface gets another address, or loses it",
	program: "a program is detached",
	interface: "an interface is made again",
} as const;

export const COST = {
	start: "start, until the host is right, ms",
	idle: "% of a CPU, nothing happens",
	scraped: "% of a CPU, 10 scrapes a second",
	http: "% of a CPU, the HTTP process meanwhile",
	scrape: "a scrape, ms",
	memory: "resident memory, MB",
	httpMemory: "resident memory of the HTTP process, MB",
} as const;

export interface AgentFigures {
	/**
	 * By FAULT: milliseconds from the fault to the last change of its repair. A fault that does not affect a
	 * size's services is absent.
	 */
	readonly repairs: ReadonlyMap<string, Series>;
	/** By COST. */
	readonly costs: ReadonlyMap<string, Series>;
}

/** One code selects one VIP of a family; beyond that, services differ by port. */
const MOST_BY_CODE = 63;
export const PORT = 9470;
const SCRAPE_MS = 100;
const PATIENCE_MS = 60_000;

/** `bin`: the folder of l3dsr's commands. */
export async function measureAgent(
	{ starts, repairs, restS, settleS, idleS, scrapeS }: AgentEffort,
	bin: string,
	sizes: readonly number[],
): Promise<ReadonlyMap<number, AgentFigures>> {
	const measured = new Map<number, AgentFigures>();
	const folder = mkdtempSync(join(tmpdir(), "l3dsr-agent-"));
	try {
		for (const size of sizes) {
			using host = new Receiver();
			host.enter();
			host.run("ip", "address", "add", "198.18.0.1/24", "dev", "v0");
			const config = join(folder, `${size}.yaml`);
			writeFileSync(config, configurationOf(size));
			const figures = { repairs: new Map<string, number[]>(), costs: new Map<string, number[]>() };
			for (let start = 0; start < starts; start++) {
				await using running = await RunningAgent.start(join(bin, "l3dsr"), config);
				const { agent, startMs } = running;
				note(figures.costs, COST.start, startMs);
				await sleep((start === 0 ? settleS : restS) * 1000);
				if (start === 0) await measureCosts(agent, { idleS, scrapeS }, figures.costs);
				for (let round = 0; round < repairs; round++)
					await measureRepairs(agent, host, restS * 1000, figures.repairs);
			}
			measured.set(size, figures);
		}
		return measured;
	} finally {
		rmSync(folder, { recursive: true });
	}
}

/** `size` services on v0 of a Receiver. */
export function configurationOf(size: number): string {
	const services = Array.from({ length: size }, (_, index) => {
		const dscp = (index % MOST_BY_CODE) + 1;
		const ports =
			size <= MOST_BY_CODE ? "" : `, protocol: tcp, ports: [${8000 + Math.floor(index / MOST_BY_CODE)}]`;
		return `  - { name: s${index}, vip: 198.18.${1 + (index >> 8)}.${index & 255}, dscp: ${dscp}${ports} }\n`;
	});
	return `interfaces: [v0]\nagent: { listen: ["127.0.0.1:${PORT}"] }\nservices:\n${services.join("")}`;
}

function note(series: Map<string, number[]>, name: string, value: number): void {
	const known = series.get(name);
	if (known === undefined) series.set(name, [value]);
	else known.push(value);
}

/** Disposal ends the agent and takes its services down. */
export class RunningAgent implements AsyncDisposable {
	readonly agent: AgentProcess;
	/** From the start of the process to the record that the host is right, in milliseconds. */
	readonly startMs: number;
	readonly #l3dsr: string;

	private constructor(agent: AgentProcess, startMs: number, l3dsr: string) {
		this.agent = agent;
		this.startMs = startMs;
		this.#l3dsr = l3dsr;
	}

	/** `l3dsr`: the path of the command. */
	static async start(l3dsr: string, config: string): Promise<RunningAgent> {
		const begun = performance.now();
		// Comparing records with their schema would be measured too.
		const agent = new AgentProcess(config, { l3dsr, env: environment(), check: () => {} });
		await next(agent, "started");
		return new RunningAgent(agent, performance.now() - begun, l3dsr);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.agent[Symbol.asyncDispose]();
		await once(spawn(this.#l3dsr, ["down"], { stdio: "ignore", env: environment() }), "close");
	}
}

/** Resolves with the next record of a kind; fails if a run of the agent fails first. */
export async function next(agent: AgentProcess, kind: AgentRecord["kind"]): Promise<void> {
	const record = await agent.untilRecord(
		(one) => one.kind === kind || one.kind === "failed",
		agent.records.length,
		kind,
	);
	if (record.kind === "failed") throw new Error(`the agent failed: ${JSON.stringify(record.errors)}`);
}

/**
 * Makes each fault once. Between two, it waits as long as the agent's own rule makes it rest, so that no
 * repair waits for the previous one.
 */
async function measureRepairs(
	agent: AgentProcess,
	host: Receiver,
	restMs: number,
	repairs: Map<string, number[]>,
): Promise<void> {
	const timed = async (name: string, act: () => void): Promise<void> => {
		const begun = performance.now();
		// Records have the time of the wall clock.
		const begunAt = Date.now();
		const repaired = next(agent, "repaired");
		let last = begun;
		let isContested = false;
		let tookMs = 0;
		using _listening = agent.onRecord((record) => {
			if (record.kind === "repaired") {
				last = performance.now();
				// The record follows a reading of the whole host, which is right by then.
				tookMs = Date.parse(record.time) - (record.verifiedMs - record.tookMs) - begunAt;
			}
			isContested ||= record.kind === "contention";
		});
		act();
		await repaired;
		await sleep(Math.max(restMs, Math.min(6 * (last - begun), 6000)));
		if (isContested)
			throw new Error(`${name}: the agent takes it for the work of another manager of this host`);
		// The agent may see a fault of several steps half done, and repair it twice.
		note(repairs, name, tookMs);
	};
	{
		using nftables = new Nftables();
		const tables = nftables.read().tables.filter(({ name }) => name === "l3dsr");
		await timed(FAULT.flush, () =>
			nftables.transact(tables.map(({ family, name }) => ({ do: "delete table", table: { family, name } }))),
		);
	}
	const lo = interfaceByName("lo").index;
	await timed(FAULT.vip, () =>
		deleteAddress({ index: lo, bytes: Uint8Array.of(198, 18, 1, 0), prefixLength: 32 }),
	);
	const other = { bytes: Uint8Array.of(198, 19, 0, 1), prefixLength: 24 };
	await timed(FAULT.address, () => addAddress({ index: interfaceByName("v0").index, ...other }));
	await timed(FAULT.address, () => deleteAddress({ index: interfaceByName("v0").index, ...other }));
	// Services that are too many for one program run on nft.
	if (tcxIngress.query(interfaceByName("v0")).length === 0) return;
	await timed(FAULT.program, () => {
		const on = interfaceByName("v0");
		for (const program of tcxIngress.query(on)) tcxIngress.detach(on, program);
	});
	host.run("ip", "link", "delete", "v0");
	await sleep(restMs);
	const batch =
		"link add v0 address 02:00:00:00:00:02 type veth peer name v1\n" +
		"link set v0 up\nlink set v1 up\naddress add 198.18.0.1/24 dev v0\n";
	await timed(FAULT.interface, () => host.feed(batch, "ip", "-batch", "-"));
}

async function measureCosts(
	agent: AgentProcess,
	{ idleS, scrapeS }: Pick<AgentEffort, "idleS" | "scrapeS">,
	costs: Map<string, number[]>,
): Promise<void> {
	const share = async (pids: readonly number[], work: () => Promise<void>): Promise<number[]> => {
		const [before, begun] = [pids.map(processorMs), performance.now()];
		await work();
		const tookMs = performance.now() - begun;
		return pids.map((pid, index) => ((processorMs(pid) - (before[index] ?? 0)) / tookMs) * 100);
	};
	const [idle = Number.NaN] = await share([agent.pid], () => sleep(idleS * 1000));
	note(costs, COST.idle, idle);
	const [own = Number.NaN, http = Number.NaN] = await share([agent.pid, agent.httpPid], async () => {
		for (const ms of await scrape(scrapeS)) note(costs, COST.scrape, ms);
	});
	note(costs, COST.scraped, own);
	note(costs, COST.http, http);
	note(costs, COST.memory, residentMb(agent.pid));
	note(costs, COST.httpMemory, residentMb(agent.httpPid));
}

/** Ten a second; milliseconds of each, until its last byte. */
async function scrape(seconds: number): Promise<number[]> {
	const scrapes: Promise<number>[] = [];
	for (let number = 0; number < seconds * (1000 / SCRAPE_MS); number++) {
		scrapes.push(scrapeOnce());
		await sleep(SCRAPE_MS);
	}
	return await Promise.all(scrapes);
}

async function scrapeOnce(): Promise<number> {
	const begun = performance.now();
	const { promise, resolve, reject } = Promise.withResolvers<number>();
	get({ host: "127.0.0.1", port: PORT, path: "/metrics", timeout: PATIENCE_MS }, (response) => {
		if (response.statusCode !== 200) reject(new Error(`a scrape was answered with ${response.statusCode}`));
		response.on("end", () => resolve(performance.now() - begun));
		response.on("error", reject);
		response.resume();
	}).on("error", reject);
	return await promise;
}

/** CPU time of all threads: clock ticks are too coarse for the second digit of a share. */
function processorMs(pid: number): number {
	const threads = readdirSync(`/proc/${pid}/task`);
	const nanoseconds = threads.map((thread) => {
		const [spent = "0"] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
		return Number(spent);
	});
	return nanoseconds.reduce((sum, one) => sum + one, 0) / 1e6;
}

export function residentMb(pid: number): number {
	const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
	return Number(kilobytes) / 1024;
}
