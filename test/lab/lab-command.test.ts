import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { listNamespaces } from "../../src/host/netns.ts";
import { CLAIMS } from "../../src/lab/claims.ts";
import { HOSTS } from "../../src/lab/layout.ts";
import { commandPath, type Started, start } from "../commands.ts";
import { enterNetns, run } from "../netns.ts";

enterNetns();

const l3dsr = commandPath("l3dsr");
const lab = (...args: readonly string[]) => start(l3dsr, "lab", ...args);

/** Command lines of the lab's processes on this machine (in this file's own process namespace). */
function agents(): string[] {
	return readdirSync("/proc")
		.filter((entry) => /^\d+$/.test(entry))
		.map((pid) => {
			try {
				return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
			} catch {
				return "";
			}
		})
		.filter((commandLine) => commandLine.includes("lab-agent"));
}

async function until(what: string, condition: () => boolean, withinMs = 10_000): Promise<void> {
	const deadline = performance.now() + withinMs;
	while (!condition()) {
		assert.ok(performance.now() < deadline, `${what}: not within ${withinMs} ms`);
		await delay(5);
	}
}

async function assertNothingLeft(): Promise<void> {
	assert.deepEqual(listNamespaces(), []);
	await until("the agents' end", () => agents().length === 0, 2000);
}

describe("l3dsr lab", () => {
	it("proves every claim with the rules of the iptables-daddr document, and leaves nothing behind", async () => {
		const { exitCode, stdout, stderr } = await lab("--json").outcome;
		assert.equal(stderr, "");
		assert.equal(exitCode, 0);
		const record = JSON.parse(stdout);
		assert.deepEqual(
			record.claims.map(({ id, held }: { id: string; held: boolean }) => [id, held]),
			Object.keys(CLAIMS).map((id) => [id, true]),
		);
		assert.equal(record.proved, true);
		for (const { vip, server, request, answer } of record.journeys) {
			assert.deepEqual(
				request.map(({ host, destination }: Record<string, string>) => [host, destination === vip]),
				[
					["client", true],
					["router", true],
					["director", true],
					["director", false],
					["router", false],
					[server, false],
					[server, true],
				],
			);
			assert.deepEqual(
				answer.map(({ host, source }: Record<string, string>) => [host, source === vip]),
				[
					[server, true],
					["router", true],
					["client", true],
				],
			);
		}
		await assertNothingLeft();
	});

	it("fails without the rules, and says which claims failed and why", async () => {
		const { exitCode, stdout, stderr } = await lab("--without-rules").outcome;
		assert.equal(exitCode, 1);
		assert.match(stdout, /^ {2}FAILED {2}every answer comes from the VIP that was asked/m);
		assert.match(stdout, /^ {2}proved {2}a packet with another DSCP is left alone$/m);
		assert.match(
			stderr,
			/^error\[LAB_CLAIM\]: prove in lab l3lab-\d+ that every answer .*: 24 of 24 HTTP requests to 72\.30\.38\.140 not answered: no answer within \d+ ms$/m,
		);
		await assertNothingLeft();
	});

	it("keeps a lab running beside another one, to be entered and taken down", async () => {
		const kept = lab("--keep");
		const [first, second] = await Promise.all([kept.outcome, lab("--json").outcome]);
		assert.equal(first.exitCode, 0, first.stderr);
		assert.equal(second.exitCode, 0, second.stderr);
		const name = `l3lab-${kept.child.pid}`;
		assert.deepEqual(listNamespaces(), HOSTS.map((host) => `${name}-${host}`).sort());
		await until("nothing but the two services running", () => agents().length === 2);

		const curl = /^ {2}(ip netns exec \S+ curl \S+)$/m.exec(first.stdout)?.[1] ?? "";
		const [program = "", ...args] = curl.split(" ");
		const answer = JSON.parse(run(program, ...args));
		assert.equal(answer.local, "72.30.38.140");
		assert.match(answer.server, /^real[12]$/);

		assert.match(first.stdout, new RegExp(`^  l3dsr lab --down ${name}$`, "m"));
		const down = await lab("--down", name).outcome;
		assert.deepEqual([down.exitCode, down.stdout], [0, `lab ${name} is taken down\n`]);
		await assertNothingLeft();

		const again = await lab("--down", name).outcome;
		assert.equal(again.exitCode, 1);
		assert.match(again.stderr, /^error\[LAB_NOT_FOUND\]: take down lab l3lab-\d+: /);
	});

	const moments: Record<string, (started: Started) => boolean> = {
		"while it builds": () => listNamespaces().length > 0,
		"while the rules are added": (started) => started.stdout().includes("these rules were typed"),
		"while traffic flows": (started) => started.stdout().includes("hop by hop"),
		"while the rules are away": (started) => started.stdout().includes("another DSCP"),
	};
	for (const [moment, reached] of Object.entries(moments)) {
		it(`leaves nothing behind when Ctrl-C comes ${moment}`, async () => {
			const started = lab();
			await until(moment, () => reached(started));
			started.child.kill("SIGINT");
			const { signal, stderr } = await started.outcome;
			assert.equal(signal, "SIGINT");
			assert.equal(stderr, "");
			await assertNothingLeft();
		});
	}

	it("leaves nothing behind after SIGTERM, and when nobody reads its output", async () => {
		const terminated = lab();
		const unread = lab();
		await until("both labs", () => [terminated, unread].every((started) => started.stdout() !== ""));
		unread.child.stdout?.destroy();
		terminated.child.kill("SIGTERM");
		assert.equal((await terminated.outcome).signal, "SIGTERM");
		assert.equal((await unread.outcome).exitCode, 1);
		await assertNothingLeft();
	});

	it("fails and leaves nothing behind when one of its processes dies", async () => {
		const started = lab();
		await until("the agents", () => agents().length === HOSTS.length && started.stdout() !== "");
		const pid = run("ip", "netns", "pids", `l3lab-${started.child.pid}-client`).trim().split("\n")[0];
		process.kill(Number(pid), "SIGKILL");
		const { exitCode, stderr } = await started.outcome;
		assert.equal(exitCode, 1);
		assert.match(stderr, /^error\[LAB_AGENT\]: run on client: it ended with SIGKILL$/m);
		await assertNothingLeft();
	});

	it("refuses a datapath that it does not know", async () => {
		const { exitCode, stderr } = await lab("--datapath", "xdp").outcome;
		assert.equal(exitCode, 2);
		assert.match(stderr, /^error\[USAGE\]: option '--datapath <name>' argument 'xdp' is invalid/);
	});
});
