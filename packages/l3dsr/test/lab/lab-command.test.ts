import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { listNamedNamespaces, namedNamespacePath } from "@l3dsr/linux";
import { commandPath, interrupt, type Started, start } from "../../../../test/support/commands.ts";
import { enterNetns, run, waitFor } from "../../../../test/support/netns.ts";
import { assertRecord } from "../../../../test/support/records.ts";
import { hostLockPath } from "../../src/host/lock.ts";
import { CLAIMS } from "../../src/lab/claims.ts";
import { HOSTS, REAL_SERVERS } from "../../src/lab/layout.ts";

enterNetns();

const l3dsr = commandPath("l3dsr");
const lab = (...args: readonly string[]) => start(l3dsr, "lab", ...args);

/** Fewer commands without rules: for tests of how a lab ends. */
const cheapLab = () => lab("--without-rules");

/** Command lines of the lab's processes on this machine (in this file's own process namespace). */
function workers(): string[] {
	return readdirSync("/proc")
		.filter((entry) => /^\d+$/.test(entry))
		.map((pid) => {
			try {
				return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
			} catch {
				return "";
			}
		})
		.filter((commandLine) => commandLine.includes("lab-worker"));
}

async function assertNothingLeft(): Promise<void> {
	assert.deepEqual(listNamedNamespaces(), []);
	assert.deepEqual(
		readdirSync("/run").filter((name) => name.startsWith("l3lab-")),
		[],
		"files of directors",
	);
	await waitFor("end of the workers", () => workers().length === 0);
}

/**
 * `seenAs`: the request's destination in a capture on the real server, which is the VIP after the rewrite.
 */
function assertEverythingProved(json: string, seenAs: "real server" | "VIP" = "real server"): void {
	const record = assertRecord("lab", json);
	assert.deepEqual(
		record.claims.map(({ id, held }) => [id, held]),
		Object.keys(CLAIMS).map((id) => [id, true]),
	);
	assert.equal(record.proved, true);
	for (const { vip, server, request, answer } of record.journeys) {
		assert.deepEqual(
			// The router picks one of the directors.
			request.map(({ host, destination }) => [host.replace("director2", "director"), destination === vip]),
			[
				["client", true],
				["router", true],
				["director", true],
				["director", false],
				["router", false],
				[server, seenAs === "VIP"],
				[server, true],
			],
		);
		assert.deepEqual(
			answer.map(({ host, source }) => [host, source === vip]),
			[
				[server, true],
				["router", true],
				["client", true],
			],
		);
	}
}

describe("l3dsr lab", () => {
	it("proves every claim with the rules that README recommends, even beside another lab", async () => {
		const kept = lab("--keep");
		const [first, second] = await Promise.all([kept.outcome, lab("--json").outcome]);
		assert.deepEqual([second.exitCode, second.stderr], [0, ""]);
		assertEverythingProved(second.stdout);

		assert.deepEqual([first.exitCode, first.stderr], [0, ""]);
		const name = `l3lab-${kept.child.pid}`;
		assert.deepEqual(listNamedNamespaces(), HOSTS.map((host) => `${name}-${host}`).sort());
		await waitFor("lab with only its two services running", () => workers().length === 2);

		const curl = /^ {2}(ip netns exec \S+ curl \S+)$/m.exec(first.stdout)?.[1] ?? "";
		const [program = "", ...args] = curl.split(" ");
		const answer = JSON.parse(run(program, ...args));
		assert.equal(answer.local, "72.30.38.140");
		assert.match(answer.server, /^real[12]$/);

		const locks = REAL_SERVERS.map((server) => hostLockPath("/run", namedNamespacePath(`${name}-${server}`)));
		assert.deepEqual(
			locks.map((lock) => existsSync(lock)),
			[true, true],
		);
		assert.match(first.stdout, new RegExp(`^  l3dsr lab --down ${name}$`, "m"));
		const down = await lab("--down", name).outcome;
		assert.deepEqual([down.exitCode, down.stdout], [0, `lab ${name} is taken down\n`]);
		await assertNothingLeft();
		assert.deepEqual(
			locks.map((lock) => existsSync(lock)),
			[false, false],
		);

		const again = await lab("--down", name).outcome;
		assert.equal(again.exitCode, 1);
		assert.match(again.stderr, /^error\[LAB_NOT_FOUND\]: take down lab l3lab-\d+: /);
	});

	for (const [seenAs, hooks] of [
		["real server", ["tcx", "clsact"]],
		["VIP", ["xdp", "xdp-generic"]],
	] as const) {
		it(`proves every claim with programs at ${hooks.join(" and ")}`, async () => {
			const outcomes = await Promise.all(hooks.map((hook) => lab("--hook", hook, "--json").outcome));
			for (const [index, { exitCode, stdout, stderr }] of outcomes.entries()) {
				assert.deepEqual([exitCode, stderr], [0, ""], hooks[index]);
				assertEverythingProved(stdout, seenAs);
				const { datapath, hook, datapathsInForce } = JSON.parse(stdout);
				assert.deepEqual([datapath, hook, datapathsInForce], ["ebpf", hooks[index], ["ebpf"]]);
			}
		});
	}

	it("proves every claim with directors of nftables", async () => {
		const { exitCode, stdout, stderr } = await lab("--director", "nft", "--json").outcome;
		assert.deepEqual([exitCode, stderr], [0, ""]);
		assertEverythingProved(stdout);
		assert.equal(JSON.parse(stdout).director, "nft");
	});

	it("fails without the rules, and explains which claims failed", async () => {
		const { exitCode, stdout, stderr } = await lab("--without-rules").outcome;
		assert.equal(exitCode, 1);
		assert.match(stdout, /^ {2}FAILED {2}every answer comes from the requested VIP/m);
		assert.match(stdout, /^ {2}proved {2}a packet with another DSCP is left alone$/m);
		assert.match(
			stderr,
			/^error\[LAB_CLAIM\]: prove in lab l3lab-\d+ that every answer .*: 24 of 24 HTTP requests to 72\.30\.38\.140 not answered: no answer within \d+ ms$/m,
		);
		await assertNothingLeft();
	});

	const moments: Record<string, (started: Started) => boolean> = {
		"while it builds": () => listNamedNamespaces().length > 0,
		"while traffic flows": (started) => started.stdout().includes("hop by hop"),
	};
	for (const [moment, reached] of Object.entries(moments)) {
		it(`leaves nothing behind after Ctrl-C ${moment}`, async () => {
			const started = cheapLab();
			await waitFor(moment, () => reached(started), 20_000);
			interrupt(started);
			const { signal, stderr } = await started.outcome;
			assert.equal(signal, "SIGINT");
			assert.equal(stderr, "");
			await assertNothingLeft();
		});
	}

	it("leaves nothing behind after Ctrl-C while the rules are added", async () => {
		const started = lab();
		await waitFor("start of the lab", () => started.stdout().includes("these rules were added"), 20_000);
		interrupt(started);
		assert.equal((await started.outcome).signal, "SIGINT");
		await assertNothingLeft();
	});

	it("leaves nothing behind after SIGTERM, or if its output has no reader", async () => {
		const terminated = cheapLab();
		const unread = cheapLab();
		await waitFor(
			"start of both labs",
			() => [terminated, unread].every((started) => started.stdout() !== ""),
			20_000,
		);
		unread.child.stdout?.destroy();
		terminated.child.kill("SIGTERM");
		assert.equal((await terminated.outcome).signal, "SIGTERM");
		assert.equal((await unread.outcome).exitCode, 1);
		await assertNothingLeft();
	});

	it("fails and leaves nothing behind if one of its processes dies", async () => {
		const started = cheapLab();
		await waitFor("start of the lab", () => started.stdout() !== "", 20_000);
		const pid = run("ip", "netns", "pids", `l3lab-${started.child.pid}-client`).trim().split("\n")[0];
		process.kill(Number(pid), "SIGKILL");
		const { exitCode, stderr } = await started.outcome;
		assert.equal(exitCode, 1);
		assert.match(stderr, /^error\[LAB_WORKER\]: run on client: it ended with SIGKILL$/m);
		await assertNothingLeft();
	});

	it("refuses a hook for rules that do not run as a program", async () => {
		const { exitCode, stderr } = await lab("--datapath", "nft", "--hook", "tcx").outcome;
		assert.equal(exitCode, 2);
		assert.match(
			stderr,
			/^error\[USAGE\]: lab --datapath nft --hook tcx: --hook is for datapath ebpf only$/m,
		);
	});

	it("refuses an unknown datapath", async () => {
		const { exitCode, stderr } = await lab("--datapath", "xdp").outcome;
		assert.equal(exitCode, 2);
		assert.match(stderr, /^error\[USAGE\]: option '--datapath <name>' argument 'xdp' is invalid/);
	});
});
