/** Faults of the agent itself: it is killed at any moment, or its disk is full. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { tcxIngress } from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";
import { enterNetns, ip, run, waitFor } from "../../../../test/support/netns.ts";
import { l3dsr } from "../cli/run-command.ts";
import { AgentProcess, BUILT, PATIENCE_MS } from "./agent-process.ts";

enterNetns();

/** Kills at random moments; `make agent-kills` makes 50 of each kind, of the built agent. */
const KILLS = Number(process.env["L3DSR_AGENT_KILLS"] ?? 2);
const started = KILLS > 2 ? { l3dsr: BUILT } : {};

const folder = mkdtempSync(join(tmpdir(), "l3dsr-survival-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
writeFileSync(
	config,
	"interfaces: [eth0]\nservices:\n  - { vip: 192.0.2.10, name: web, dscp: 7 }\n  - { vip: 192.0.2.11, name: dns, dscp: 9 }\n",
);
ip("link add eth0 type veth peer name eth1");
ip("addr add 10.0.0.2/24 dev eth0");
ip("link set eth0 addrgenmode none up");
ip("link set eth1 addrgenmode none up");

const isOnLo = (vip: string): boolean => ip(`-o addr show dev lo to ${vip}`) !== "";

async function isRight(): Promise<boolean> {
	return (await l3dsr("diff", "-c", config)).exitCode === 0;
}

const FAULTS: readonly (() => unknown)[] = [
	() => {
		const on = interfaceByName("eth0");
		for (const one of tcxIngress.query(on)) tcxIngress.detach(on, one);
	},
	() => run("nft", "flush", "ruleset"),
	() => ip("addr del 192.0.2.10/32 dev lo"),
];

const METRICS = "http://127.0.0.1:9470/metrics";
/** More than the HTTP process takes at once. */
const CLIENTS = 300;

async function kill(agent: AgentProcess): Promise<void> {
	agent.child.kill("SIGKILL");
	await agent.ended;
}

test("after an agent is killed during its start or a repair, the next one repairs the host", async () => {
	let startMs = 0;
	for (let round = 0; round < KILLS; round++) {
		const starting = new AgentProcess(config, started);
		await setTimeout(Math.random() * startMs);
		await kill(starting);
		const begun = performance.now();
		const agent = await AgentProcess.start(config, started);
		// Kills come at any moment of what is going on, however slow the machine is: a repair takes a third of a start.
		startMs = performance.now() - begun;
		assert(await isRight());
		FAULTS[round % FAULTS.length]?.();
		await setTimeout((Math.random() * startMs) / 2);
		await kill(agent);
		await using next = await AgentProcess.start(config, started);
		assert(await isRight(), `after kill ${round + 1}`);
		const programs = tcxIngress.query(interfaceByName("eth0"));
		await kill(next);
		assert.deepEqual(tcxIngress.query(interfaceByName("eth0")), programs, "the datapath goes on without it");
		assert(await isRight());
	}
});

test("repairs continue while clients hang, and after the HTTP process is stopped or killed", async () => {
	await using agent = await AgentProcess.start(config);
	const repair = async (): Promise<void> => {
		const known = agent.records.length;
		ip("addr del 192.0.2.10/32 dev lo");
		await agent.until("repaired", known);
		assert(await isRight());
	};
	const scrape = async () => await fetch(METRICS, { signal: AbortSignal.timeout(PATIENCE_MS) });
	await waitFor("an answer", async () => (await scrape().catch(() => undefined))?.ok, PATIENCE_MS);
	const hanging = Array.from({ length: CLIENTS }, (_, number) => {
		const socket = connect(9470, "127.0.0.1");
		socket.on("error", () => {});
		// These scrape without reading; the others send nothing, or half a request.
		if (number % 3 === 0)
			socket.pause().write("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100));
		if (number % 3 === 1) socket.write("GET /metrics HTTP/1.1\r\nHost: loc");
		return socket;
	});
	try {
		await Promise.all(hanging.map((socket) => once(socket, "connect")));
		await repair();
		assert((await scrape()).ok);
		const pid = agent.httpPid;
		process.kill(pid, "SIGSTOP");
		await repair();
		process.kill(pid, "SIGKILL");
		await repair();
		await waitFor("an answer", async () => (await scrape().catch(() => undefined))?.ok, PATIENCE_MS);
		assert.notEqual(agent.httpPid, pid);
	} finally {
		for (const socket of hanging) socket.destroy();
	}
});

test("on a full disk repairs continue, and down explains why it cannot keep the agent away", async () => {
	run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/run");
	try {
		await using agent = await AgentProcess.start(config);
		assert.throws(() => writeFileSync("/run/full", new Uint8Array(1 << 20)), { code: "ENOSPC" });
		for (const fault of FAULTS) {
			const known = agent.records.length;
			fault();
			await agent.until("repaired", known);
			await waitFor("a host that is right again", isRight, PATIENCE_MS);
		}
		const refused = await l3dsr("down");
		assert.equal(refused.exitCode, 1);
		assert.match(refused.stderr, /^error\[FILE_WRITE\]: .*tells the agent to leave this host alone.*ENOSPC/m);
		assert.equal(isOnLo("192.0.2.10"), true);
		rmSync("/run/full");
		assert.equal((await l3dsr("down")).exitCode, 0);
		await agent.until("held");
		assert.equal(isOnLo("192.0.2.10"), false);
	} finally {
		run("umount", "--lazy", "/run");
	}
});
