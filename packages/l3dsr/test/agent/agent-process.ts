/** The agent as a process, for tests and benchmarks; its records are read as they arrive. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { FROM_SOURCE } from "../../../../test/support/node.ts";
import { assertRecord } from "../../../../test/support/records.ts";
import type { AgentRecord } from "../../src/agent/record.ts";

const L3DSR = fileURLToPath(new URL("../cli/l3dsr-process.ts", import.meta.url));
/** The built command, which starts in a fifth of the time that it takes from source. */
export const BUILT: string = fileURLToPath(new URL("../../../../bin/l3dsr", import.meta.url));

/**
 * What anything may take on a machine with much else to do; how long it takes is for the benchmark. A start from source
 * needs 1.7 s of a processor, and has taken 9 s where a dozen processes shared two.
 */
export const PATIENCE_MS = 60_000;

export class AgentProcess implements AsyncDisposable {
	readonly child: ChildProcess;
	readonly records: AgentRecord[] = [];
	/** Lines that are not records: errors. */
	readonly said: string[] = [];
	readonly ended: Promise<{ readonly exitCode: number | null; readonly signal: NodeJS.Signals | null }>;
	readonly #listeners = new Set<(record: AgentRecord) => void>();

	constructor(
		config: string,
		options: {
			readonly env?: NodeJS.ProcessEnv;
			/** What starts it: `setpriv --no-new-privs`. */
			readonly command?: readonly string[];
			/** A built `l3dsr`; default: from source. */
			readonly l3dsr?: string;
			/** Called with each line that is a record; default: compares it with the published schema. */
			readonly check?: (line: string) => void;
		} = {},
	) {
		const l3dsr = options.l3dsr === undefined ? [process.execPath, ...FROM_SOURCE, L3DSR] : [options.l3dsr];
		const [program = BUILT, ...argv] = [
			...(options.command ?? []),
			...l3dsr,
			"agent",
			"--json",
			"-c",
			config,
		];
		const check = options.check ?? ((line) => void assertRecord("agent-event", line));
		this.child = spawn(program, argv, {
			stdio: ["ignore", "inherit", "pipe"],
			env: { ...process.env, ...options.env },
		});
		assert(this.child.stderr !== null);
		createInterface(this.child.stderr).on("line", (line) => {
			// Each event is one line; errors, and output without JSON, are not events.
			if (line.startsWith('{"')) {
				check(line);
				const record: AgentRecord = JSON.parse(line);
				this.records.push(record);
				for (const listener of [...this.#listeners]) listener(record);
			} else this.said.push(line);
		});
		this.ended = once(this.child, "close").then(([exitCode, signal]) => ({ exitCode, signal }));
	}

	static async start(...parameters: ConstructorParameters<typeof AgentProcess>): Promise<AgentProcess> {
		const agent = new AgentProcess(...parameters);
		await agent.until("started");
		return agent;
	}

	/** The first record of a kind after `after` others. */
	async until<K extends AgentRecord["kind"]>(
		kind: K,
		after = 0,
	): Promise<AgentRecord & { readonly kind: K }> {
		return await this.untilRecord((record) => record.kind === kind, after, kind);
	}

	/** The first `wanted` record after `after` others. Fails if the agent ends first, or after PATIENCE_MS. */
	async untilRecord<R extends AgentRecord>(
		wanted: (record: AgentRecord) => boolean,
		after = 0,
		what = "the kind that is waited for",
	): Promise<R> {
		const found = Promise.withResolvers<AgentRecord>();
		const fail = (why: string) => {
			const records = JSON.stringify(this.records.slice(after));
			found.reject(new Error(`no record of ${what}, ${why}; there are\n${records}\n${this.said.join("\n")}`));
		};
		using _listening = this.onRecord((record) => {
			if (this.records.length > after && wanted(record)) found.resolve(record);
		});
		const before = this.records.slice(after).find(wanted);
		if (before !== undefined) found.resolve(before);
		const timer = setTimeout(() => fail(`within ${PATIENCE_MS} ms`), PATIENCE_MS);
		void this.ended.then(() => fail("and the agent has ended"));
		try {
			return (await found.promise) as R; // by `wanted`
		} finally {
			clearTimeout(timer);
		}
	}

	/** Calls `listener` with each record from now on, until disposed of. */
	onRecord(listener: (record: AgentRecord) => void): Disposable {
		this.#listeners.add(listener);
		return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
	}

	get pid(): number {
		return this.child.pid ?? 0;
	}

	/** The process that speaks HTTP; NaN while there is none. */
	get httpPid(): number {
		const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, "utf8");
		return Number.parseInt(children, 10);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGTERM");
		await this.ended;
	}
}
