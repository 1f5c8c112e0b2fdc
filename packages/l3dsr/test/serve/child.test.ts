/**
 * The agent's end of the pipes: whatever the other process writes, or fails to read, does not harm the agent.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { run, waitFor } from "../../../../test/support/netns.ts";
import { runs } from "../../../../test/support/property-runs.ts";
import { diagnosticsOf } from "../../src/cli/error-table.ts";
import { Child } from "../../src/serve/child.ts";
import { RecordedAgent } from "./recorded.ts";

const folder = mkdtempSync(join(tmpdir(), "l3dsr-child-"));
after(() => rmSync(folder, { recursive: true }));

/** Runs with random bytes. */
const RUNS = runs(10);

function started(script: string, agent: RecordedAgent, ends: string[], pingMs?: number): Child {
	return new Child({
		command: ["/bin/sh", "-c", script],
		identity: undefined,
		fds: [],
		settings: { version: "1", sockets: [], hosts: [], page: folder },
		shown: agent,
		diagnosticsOf,
		...(pingMs === undefined ? {} : { pingMs }),
		onEnd: (how) => ends.push(how),
	});
}

/** The exit of a process that writes these bytes and would then continue. */
async function endAfter(bytes: Uint8Array, agent = new RecordedAgent()): Promise<string> {
	const file = join(folder, "bytes");
	writeFileSync(file, bytes);
	const ends: string[] = [];
	const child = started(`cat ${file}; exec sleep 1000`, agent, ends);
	try {
		await waitFor("the end of the process", () => ends.length > 0);
		const { pid } = child;
		assert.ok(pid !== undefined);
		await waitFor("the process to be gone", () => !isRunning(pid));
		assert.equal(ends.length, 1, "the end is told once");
		return ends.join();
	} finally {
		child.stop();
	}
}

function isRunning(pid: number): boolean {
	try {
		return process.kill(pid, 0);
	} catch {
		return false;
	}
}

describe("the process that speaks HTTP, as the agent sees it,", () => {
	it("ends without harm to the agent if no descriptor is left to start it", async () => {
		const ends: string[] = [];
		const agent = new RecordedAgent();
		const [, soft, hard] =
			/^Max open files +(\S+) +(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
		run("prlimit", `--nofile=256:${hard}`, "--pid", String(process.pid));
		const taken: number[] = [];
		assert.throws(
			() => {
				for (;;) taken.push(openSync("/dev/null", "r"));
			},
			{ code: "EMFILE" },
		);
		try {
			const child = started("exec sleep 1000", agent, ends);
			child.tell({ id: 1, body: "{}" });
			await new Promise(setImmediate);
			child.stop();
		} finally {
			for (const fd of taken) closeSync(fd);
			run("prlimit", `--nofile=${soft}:${hard}`, "--pid", String(process.pid));
		}
		assert.match(ends.join(), /^spawn \/bin\/sh EMFILE$/);
	});

	it("is ended if it writes an invalid line, or one without an end", async () => {
		for (const [text, how] of [
			["status\n", /invalid line/],
			["status 1\nreload 2\n", /invalid line/],
			["settings 1 {}\n", /invalid line/],
			[`status ${"1".repeat(16)}\n`, /invalid line/],
			["\n", /invalid line/],
			["x".repeat(5000), /a line above 4096 bytes/],
		] as const) {
			assert.match(await endAfter(Buffer.from(text)), how, text.slice(0, 40));
		}
	});

	it("is ended if it writes random bytes", async () => {
		for (let run = 0; run < RUNS; run++) {
			const bytes = Buffer.concat([randomBytes(1 + (run % 50) * 100), Buffer.from("\n")]);
			assert.match(await endAfter(bytes), /invalid line|a line above/, bytes.toString("hex"));
		}
	});

	it("is ended if it does not answer, from the start or later, but not while it answers", async () => {
		const answering = (most: number) =>
			`while read kind number rest; do
				[ $kind != ping ] || [ $number -gt ${most} ] || { echo pong $number; echo $number >${folder}/pinged; }
			done`;
		for (const [answered, how] of [
			[0, /^it did not answer the agent 12 times$/],
			[30, /^it did not answer the agent 3 times$/],
		] as const) {
			const ends: string[] = [];
			const child = started(answering(answered), new RecordedAgent(), ends, 20);
			try {
				if (answered > 0) {
					await waitFor("its last answer", () => textOf(join(folder, "pinged")) === `${answered}\n`);
					assert.deepEqual(ends, []);
				}
				await waitFor("the end of the process", () => ends.length > 0);
				assert.match(ends.join(), how);
			} finally {
				child.stop();
			}
		}
	});

	it("gets all kept events after it was stopped, and the agent buffers at most 4 MiB for it", async () => {
		const agent = new RecordedAgent();
		const heard = join(folder, "heard");
		const ends: string[] = [];
		const child = started(`exec cat >${heard}`, agent, ends);
		try {
			const { pid } = child;
			assert.ok(pid !== undefined);
			await waitFor("the settings", () => textOf(heard).startsWith("settings 0 "));
			process.kill(pid, "SIGSTOP");
			using _subscription = agent.subscribe((event) => child.tell(event));
			for (let n = 0; n < 10_000; n++) agent.happen(`event ${n} ${"x".repeat(1000)}`);
			process.kill(pid, "SIGCONT");
			await waitFor("the last event", () => textOf(heard).includes("event 9999 "));
			const kept = agent.keptEvents().reduce((bytes, { body }) => bytes + body.length + 20, 0);
			assert.ok(textOf(heard).length < (1 << 22) + kept + (1 << 18), `${textOf(heard).length} bytes`);
			assert.deepEqual(ends, []);
		} finally {
			child.stop();
		}
	});
});

function textOf(file: string): string {
	try {
		return readFileSync(file, "latin1");
	} catch {
		return "";
	}
}
