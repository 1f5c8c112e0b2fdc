/** Faults of the agent itself: it is killed at any moment, or its disk is full. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { tcxIngress } from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";
import { enterNetns, ip, run, waitFor } from "../../../../test/support/netns.ts";
import { l3dsr } from "../cli/run-command.ts";
import { AgentProcess, PATIENCE_MS } from "./agent-process.ts";

enterNetns();

/** Kills at random moments; `make agent-kills` makes 50. */
const KILLS = Number(process.env["L3DSR_AGENT_KILLS"] ?? 2);
/** How long a start or a repair may take from source; the kill comes at any moment of it. */
const MOMENTS_MS = { start: 1500, repair: 150 } as const;

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

async function kill(agent: AgentProcess): Promise<void> {
	agent.child.kill("SIGKILL");
	await agent.ended;
}

test("after an agent is killed during its start or a repair, the next one repairs the host", async () => {
	for (let round = 0; round < KILLS; round++) {
		const starting = new AgentProcess(config);
		await setTimeout(Math.random() * MOMENTS_MS.start);
		await kill(starting);
		const agent = await AgentProcess.start(config);
		assert(await isRight());
		FAULTS[round % FAULTS.length]?.();
		await setTimeout(Math.random() * MOMENTS_MS.repair);
		await kill(agent);
		await using next = await AgentProcess.start(config);
		assert(await isRight(), `after kill ${round + 1}`);
		const programs = tcxIngress.query(interfaceByName("eth0"));
		await kill(next);
		assert.deepEqual(tcxIngress.query(interfaceByName("eth0")), programs, "the datapath goes on without it");
		assert(await isRight());
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
