/**
 * A daemon beside services of this host that clients use all the time: either no packet is affected, or the
 * effect is detected, the likely cause is named, and `l3dsr up` or the agent repairs it.
 */
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RepairedRecord } from "../../src/agent/record.ts";
import { AgentProcess } from "../agent/agent-process.ts";
import { l3dsr } from "../cli/run-command.ts";
import { Load, LoadingClient, PORT } from "../cli/services/load.ts";

/** Behind the VIP whose ports are translated. */
export const SERVER_PORT = PORT + 1;
/**
 * Firewalls drop packets for a moment during a reload; a client that waits long for one answer misses most of
 * that.
 */
const PATIENCE_MS = 300;

/** An action of a daemon, or of an operator through it. */
export interface Act {
	readonly what: string;
	readonly act: () => unknown;
	/** Absent: nothing of l3dsr's is affected. */
	readonly takes?: Taking;
	/** It removes addresses of the host and adds them again: the agent may have reacted in between. */
	readonly flapsAddresses?: true;
	/** A further condition once the host is right. */
	readonly afterwards?: () => void;
}

export interface Taking {
	/** Patterns of lines in `diff`, all of which must occur. */
	readonly drift: readonly RegExp[];
	/** The first possible cause that diff names. */
	readonly suspect: RegExp;
	/** The responsible process's name, if the kernel tells the agent. */
	readonly by?: string;
}

/** No client uses it: for daemons that move it to another interface. */
export const SHARED_VIP = "192.0.2.14";
/** One on eBPF, one on eBPF whose answers nftables translates, and one that needs no rule. */
const VIPS = [
	{ vip: "192.0.2.10", dscp: 7 },
	{ vip: "2001:db8::10", dscp: 7, serverPort: SERVER_PORT },
	{ vip: "192.0.2.12" },
];
const SERVICES = `datapath: auto
services:
  - { vip: 192.0.2.10, name: web, dscp: 7 }
  - { vip: "2001:db8::10", name: tcp6, dscp: 7, protocol: tcp, ports: ${PORT}, set-port: ${SERVER_PORT} }
  - { vip: "2001:db8::10", name: udp6, dscp: 7, protocol: udp, ports: ${PORT}, set-port: ${SERVER_PORT} }
  - { vip: 192.0.2.12, name: plain }
  - { vip: ${SHARED_VIP}, name: shared }
`;

/** A real server under load: eth0 leads to a client that is its own director. */
export class BusyHost implements AsyncDisposable {
	readonly client = new LoadingClient(VIPS);
	readonly #config = join(mkdtempSync("/run/l3dsr-daemons-"), "l3dsr.yaml");
	#load: Load | undefined;
	#agent: AgentProcess | undefined;

	/** Starts the services on both datapaths, and waits until every VIP answers. */
	async serve(): Promise<void> {
		writeFileSync(this.#config, SERVICES);
		await this.#succeed("up", "-c", this.#config);
		const { stdout } = await l3dsr("status", "--json", "-c", this.#config);
		assert.deepEqual(
			JSON.parse(stdout).services.map(({ datapaths }: { datapaths: string[] }) => datapaths),
			[["ebpf"], ["ebpf"], ["ebpf"], [], []],
		);
		this.#load = await Load.start(this.client, VIPS, { patienceMs: PATIENCE_MS });
	}

	/** Performs every action in turn, and runs `up` after each that removes something. */
	async mendedByUp(acts: readonly Act[]): Promise<void> {
		await this.#withoutAgent();
		for (const { what, act, takes, afterwards } of acts) {
			const before = this.client.unrewritten();
			await act();
			if (takes === undefined) await this.#isUntouched(what, before);
			else {
				const { exitCode, stdout } = await l3dsr("diff", "-c", this.#config);
				assert.equal(exitCode, 4, `${what}: ${stdout}`);
				for (const line of takes.drift) assert.match(stdout, line, what);
				assert.match(/^possible cause: (.*)$/m.exec(stdout)?.[1] ?? "none", takes.suspect, what);
				await this.#succeed("up", "-c", this.#config);
				await this.#isRight(what);
			}
			afterwards?.();
		}
	}

	/** The same with the agent and no commands. */
	async mendedByAgent(acts: readonly Act[]): Promise<void> {
		this.#agent ??= await AgentProcess.start(this.#config);
		const agent = this.#agent;
		for (const { what, act, takes, flapsAddresses, afterwards } of acts) {
			const known = agent.records.length;
			const before = this.client.unrewritten();
			await act();
			if (takes === undefined) {
				await this.#isUntouched(what, before);
				const records = agent.records
					.slice(known)
					.filter(
						(record) =>
							flapsAddresses !== true || record.kind !== "repaired" || record.cause.kind !== "network",
					);
				assert.deepEqual(records, [], what);
			} else {
				const { cause, triggers } = await agent.untilRecord<RepairedRecord>(
					({ kind }) => kind === "repaired",
					known,
					what,
				);
				assert.match(cause.suspects[0] ?? "none", takes.suspect, what);
				if (takes.by !== undefined) assert.equal(cause.by?.program, takes.by, what);
				assert(!triggers.includes("minute"), `${what}: an event reported it, not the periodic check`);
				await this.#isRight(what);
			}
			afterwards?.();
		}
	}

	async #isUntouched(what: string, unrewrittenBefore: number): Promise<void> {
		await this.#isRight(what);
		assert.equal(this.client.unrewritten() - unrewrittenBefore, 0, `${what}: a packet was not rewritten`);
	}

	/** All VIPs answer, packets are rewritten, and `up` has nothing to do. */
	async #isRight(what: string): Promise<void> {
		assert(this.#load !== undefined);
		await this.#load.untilAllAnswer();
		const rewrittenSince = this.client.unrewritten();
		const { stdout } = await l3dsr("diff", "-c", this.#config);
		assert.match(stdout, /^no difference/, what);
		assert.equal(this.client.unrewritten(), rewrittenSince, what);
	}

	async #succeed(...argv: string[]): Promise<void> {
		const { exitCode, stdout, stderr } = await l3dsr(...argv);
		assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" }, stdout);
	}

	async #withoutAgent(): Promise<void> {
		await this.#agent?.[Symbol.asyncDispose]();
		this.#agent = undefined;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#withoutAgent();
		this.#load?.[Symbol.dispose]();
		await this.#succeed("down");
		this.client[Symbol.dispose]();
	}
}
