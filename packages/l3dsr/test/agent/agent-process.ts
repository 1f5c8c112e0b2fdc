/** The agent as a process, run from the sources; its records are read as they arrive. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { waitFor } from "../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../test/support/node.ts";
import { assertRecord } from "../../../../test/support/records.ts";
import type { AgentRecord } from "../../src/agent/record.ts";

const L3DSR = fileURLToPath(new URL("../cli/l3dsr-process.ts", import.meta.url));
const BUILT = fileURLToPath(new URL("../../../../bin/l3dsr", import.meta.url));

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

	constructor(
		config: string,
		options: {
			readonly env?: Record<string, string>;
			/** What starts it: `setpriv --no-new-privs`. */
			readonly command?: readonly string[];
			/** As it is built, which starts in a fifth of the time; default: from source. */
			readonly built?: boolean;
		} = {},
	) {
		const l3dsr = options.built === true ? [BUILT] : [process.execPath, ...FROM_SOURCE, L3DSR];
		const [program = BUILT, ...argv] = [
			...(options.command ?? []),
			...l3dsr,
			"agent",
			"--json",
			"-c",
			config,
		];
		this.child = spawn(program, argv, {
			stdio: ["ignore", "inherit", "pipe"],
			env: { ...process.env, ...options.env },
		});
		assert(this.child.stderr !== null);
		createInterface(this.child.stderr).on("line", (line) => {
			// Each event is one line; errors, and output without JSON, are not events.
			if (line.startsWith('{"')) {
				assertRecord("agent-event", line);
				this.records.push(JSON.parse(line));
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

	/** The first `wanted` record after `after` others. */
	async untilRecord<R extends AgentRecord>(
		wanted: (record: AgentRecord) => boolean,
		after = 0,
		what = "the kind that is waited for",
	): Promise<R> {
		const found = await waitFor(
			`a record of ${what}`,
			() => {
				assert.equal(this.child.exitCode, null, this.said.join("\n"));
				return this.records.slice(after).find(wanted);
			},
			PATIENCE_MS,
		).catch((error) => {
			throw new Error(
				`${error.message}; there are\n${JSON.stringify(this.records.slice(after))}\n${this.said}`,
			);
		});
		return found as R; // by `wanted`
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGTERM");
		await this.ended;
	}
}
