/**
 * A running lab: the topology, a worker on every host, services on the real servers, captures everywhere.
 *
 *     await using lab = await openLab({ name, commands, environment });
 *     await lab.addRules();
 *     const reply = await lab.worker("client").call("http", { address: "72.30.38.140", … });
 *
 * Whatever happens in between, disposing of it ends its processes and deletes its namespaces.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NetworkNamespace, namedNamespacePath, namespaceProcesses } from "@l3dsr/linux";
import { L3dsrError } from "../errors.ts";
import { type Balancer, DIRECTOR_FILES, directorRuleset } from "./director.ts";
import { type LabEnvironment, runToEnd } from "./host-program.ts";
import {
	addressOf,
	DIRECTORS,
	FAMILIES,
	HOSTS,
	type Host,
	HTTP_PORT,
	LINKS,
	REAL_SERVERS,
	type RealServer,
	UDP_PORT,
	VIPS,
} from "./layout.ts";
import {
	addCommands,
	datapathEnvironment,
	flushCommands,
	type LabDatapath,
	needsCompleteChecksums,
} from "./rules.ts";
import {
	buildTopology,
	completeChecksums,
	destroyTopology,
	directorFolder,
	inHost,
	namespacesOf,
	setRules,
	type Topology,
	topologyOf,
} from "./topology.ts";
import { WorkerProcess } from "./worker-process.ts";

/** How to start this installation of l3dsr. */
export interface LabCommands {
	/** Starts a worker. */
	readonly worker: readonly string[];
	/** Starts another command, such as `iptables-daddr`. */
	readonly command: (name: string) => readonly string[];
}

export interface LabOptions extends LabDatapath {
	/** Default: balance. */
	readonly balancer?: Balancer;
	/** Prefix of the namespaces' names; no two labs at the same time may share it. */
	readonly name: string;
	readonly commands: LabCommands;
	readonly environment: LabEnvironment;
	/** Stops the setup; what exists by then is removed. */
	readonly signal?: AbortSignal;
}

/** Rules of a real server as its save commands print them, one text per family. */
export type SavedRules = Readonly<Record<RealServer, readonly { program: string; text: string }[]>>;

export class Lab implements AsyncDisposable {
	readonly topology: Topology;
	readonly #options: LabOptions;
	readonly #workers: Map<Host, WorkerProcess>;
	#released = false;
	#disposed: Promise<void> | undefined;

	/** Use `openLab`. */
	constructor(options: LabOptions, topology: Topology) {
		this.topology = topology;
		this.#options = options;
		const start = (host: Host) =>
			new WorkerProcess(host, topology.namespaces[host], options.commands.worker, options.environment);
		this.#workers = new Map(HOSTS.map((host) => [host, start(host)]));
	}

	get datapath(): LabDatapath["datapath"] {
		return this.#options.datapath;
	}

	worker(host: Host): WorkerProcess {
		const worker = this.#workers.get(host);
		if (worker === undefined) throw new RangeError(`no worker runs on ${host}`);
		return worker;
	}

	/** Runs a program on a host and returns its output. Throws PROGRAM_FAILED. */
	async run(host: Host, command: readonly string[], input = ""): Promise<string> {
		const { environment } = this.#options;
		return await inHost(this.topology, host, { command, input, environment });
	}

	/** Like `run`, but a failing program is a result: returns its output whatever the exit code. */
	async tryRun(host: Host, command: readonly string[]): Promise<string> {
		const { environment } = this.#options;
		return (await runToEnd(this.topology.namespaces[host], { command, environment })).stdout;
	}

	/** Runs one of l3dsr's commands on a host. Its environment selects the lab's datapath. */
	async type(host: Host, program: string, args: readonly string[], input = ""): Promise<string> {
		const environment = { ...this.#options.environment, ...datapathEnvironment(this.#options) };
		const command = [...this.#options.commands.command(program), ...args];
		return await inHost(this.topology, host, { command, input, environment, what: program });
	}

	/** Starts both directors. Their files are in a folder of the lab. */
	async startDirectors(): Promise<void> {
		if (this.#options.balancer === "nft") {
			for (const director of DIRECTORS) setRules(this.topology, director, directorRuleset(FAMILIES));
			return;
		}
		await onEach(DIRECTORS, async (director) => {
			const folder = join(directorFolder(this.topology.name), director);
			mkdirSync(folder, { recursive: true });
			for (const [file, text] of Object.entries(DIRECTOR_FILES)) writeFileSync(join(folder, file), text);
			const l3dsr = this.#options.commands.command("l3dsr");
			await this.run(director, [...l3dsr, "up", "-c", join(folder, "director.yaml")]);
		});
	}

	/** Adds the rules on every real server. */
	async addRules(): Promise<void> {
		await onEach(REAL_SERVERS, async (server) => {
			for (const { program, args } of addCommands(this.#options)) await this.type(server, program, args);
		});
	}

	/** The datapaths that the real servers' rules run on, each once; empty without rules. */
	async datapathsInForce(): Promise<string[]> {
		const found = await onEach(REAL_SERVERS, async (server) => {
			// The record that `l3dsr show` prints: src/cli/show.ts.
			const { rules } = JSON.parse(await this.type(server, "l3dsr", ["show", "--json"])) as {
				rules: { datapath: string }[];
			};
			return rules.map(({ datapath }) => datapath);
		});
		return [...new Set(found.flat())].sort();
	}

	/** Removes the rules on every real server and returns them for `restoreRules`. */
	async takeRules(): Promise<SavedRules> {
		const saved = await onEach(REAL_SERVERS, async (server) => {
			const texts: { program: string; text: string }[] = [];
			for (const { program, args } of flushCommands()) {
				texts.push({ program, text: await this.type(server, `${program}-save`, []) });
				await this.type(server, program, args);
			}
			return [server, texts] as const;
		});
		const [real1, real2] = saved.map(([, texts]) => texts);
		return { real1: real1 ?? [], real2: real2 ?? [] };
	}

	async restoreRules(saved: SavedRules): Promise<void> {
		await onEach(REAL_SERVERS, async (server) => {
			for (const { program, text } of saved[server]) await this.type(server, `${program}-restore`, [], text);
		});
	}

	/** Leaves namespaces and services running after this process has ended. `takeDown` ends them. */
	async leave(): Promise<void> {
		await onEach(HOSTS, async (host) => {
			const worker = this.worker(host);
			if (!isRealServer(host)) return await worker[Symbol.asyncDispose](); // it serves nothing
			await worker.call("stay", null);
			worker.release();
		});
		this.#released = true;
	}

	/** Works once; a second call waits for the first. */
	[Symbol.asyncDispose](): Promise<void> {
		this.#disposed ??= this.#dispose();
		return this.#disposed;
	}

	async #dispose(): Promise<void> {
		if (this.#released) return;
		try {
			await onEach([...this.#workers.values()], (worker) => worker[Symbol.asyncDispose]());
		} finally {
			destroyTopology(this.topology.name);
		}
	}
}

/**
 * Builds a lab with running directors and without rules on the real servers. Throws what `buildTopology` throws, and
 * LAB_WORKER, and leaves nothing behind.
 */
export async function openLab(options: LabOptions): Promise<Lab> {
	options.signal?.throwIfAborted();
	const topology = buildTopology(options.name);
	const lab = new Lab(options, topology);
	try {
		options.signal?.throwIfAborted();
		if (needsCompleteChecksums(options)) completeChecksums(topology);
		await onEach(HOSTS, (host) => lab.worker(host).call("capture", { devices: devicesOf(host) }));
		await lab.startDirectors();
		await onEach(REAL_SERVERS, async (server) => {
			const own = FAMILIES.map((family) => addressOf(server, family));
			const addresses = [...VIPS.map(({ vip }) => vip), ...own].map(({ text }) => text);
			await lab.worker(server).call("serve", { server, httpPort: HTTP_PORT, udpPort: UDP_PORT, addresses });
		});
		return lab;
	} catch (error) {
		await lab[Symbol.asyncDispose]();
		throw error;
	}
}

/**
 * Ends the workers of a lab that was left running (or whose l3dsr was killed) and deletes its namespaces. Returns the
 * ids of other processes in them, which keep a namespace alive without a name until they end. Throws LAB_NOT_FOUND.
 */
export function takeDown(name: string, isWorker: (commandLine: readonly string[]) => boolean): number[] {
	const namespaces = namespacesOf(name);
	if (namespaces.length === 0) {
		throw new L3dsrError({
			code: "LAB_NOT_FOUND",
			message: `take down lab ${name}: it has no network namespace (such as ${topologyOf(name).namespaces.client})`,
			hint: "ls /run/netns lists the namespaces",
		});
	}
	const processes = namespaces.flatMap((name) => {
		using namespace = NetworkNamespace.open(namedNamespacePath(name));
		return namespaceProcesses(namespace);
	});
	const others: number[] = [];
	for (const pid of processes) {
		if (isWorker(commandLineOf(pid))) endProcess(pid);
		else others.push(pid);
	}
	destroyTopology(name);
	return others;
}

/** The interfaces that a host captures on. */
function devicesOf(host: Host): string[] {
	if (host === "router") return LINKS.map(({ routerDevice }) => routerDevice);
	return LINKS.filter((link) => link.host === host).map(({ device }) => device);
}

function isRealServer(host: Host): host is RealServer {
	return REAL_SERVERS.some((server) => server === host);
}

function commandLineOf(pid: number): string[] {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
	} catch {
		return []; // the process has ended
	}
}

function endProcess(pid: number): void {
	try {
		process.kill(pid, "SIGKILL");
	} catch {
		// The process has ended.
	}
}

/**
 * Like Promise.all, but returns only after all are done, so that nothing still works on a host that is being removed.
 * Throws the first failure.
 */
async function onEach<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
	const results = await Promise.allSettled(items.map(work));
	return results.map((result) => {
		if (result.status === "rejected") throw result.reason;
		return result.value;
	});
}
