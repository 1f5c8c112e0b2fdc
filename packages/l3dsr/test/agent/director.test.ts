/** The agent on a director: it checks real servers through the VIP's path, and directs by the results. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { tcxIngress } from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";
import { enterNetns, ip, run, waitFor } from "../../../../test/support/netns.ts";
import { assertDescribed, assertRecord } from "../../../../test/support/records.ts";
import type { AgentRecord } from "../../src/agent/record.ts";
import { l3dsr } from "../cli/run-command.ts";
import { RealServer, VIP } from "../vip-path/real-server.ts";
import { AgentProcess, PATIENCE_MS } from "./agent-process.ts";

enterNetns();
run("sysctl", "-qw", "net.ipv4.ip_forward=1");
ip("link add front type veth peer name clients");
for (const name of ["front", "clients"]) ip(`link set ${name} addrgenmode none up`);
ip("address add 10.2.0.1/24 dev front");

const folder = mkdtempSync(join(tmpdir(), "l3dsr-agent-director-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
writeFileSync(
	config,
	"fleet: fleet.yaml\ndirector: { interfaces: front, hook: tc, state: state.json }\nagent: { listen: 127.0.0.1:9470 }\n",
);
const REALS = ["{ name: a, addresses: [10.1.1.2] }", "{ name: b, addresses: [10.1.2.2] }"];
function writeFleet(reals: readonly string[]): void {
	writeFileSync(
		join(folder, "fleet.yaml"),
		`vips:
  - name: web
    addresses: [${VIP.ipv4.text}]
    dscp: 7
    services: [{ port: 8080, protocol: tcp, pool: front }]
pools:
  front:
    check: { type: tcp, interval: 100ms, timeout: 80ms, fall: 2, rise: 2 }
    reals: [${reals.join(", ")}]
`,
	);
}
writeFleet(REALS);

interface Real {
	readonly name: string;
	readonly state: string;
	readonly share: number;
	readonly reason?: string;
	readonly check?: { readonly state: string };
}

async function realsOf(): Promise<readonly Real[]> {
	const { stdout } = await l3dsr("status", "-c", config, "--json");
	return JSON.parse(stdout).director?.services?.[0]?.reals ?? [];
}

async function statesOf(): Promise<string> {
	return (await realsOf()).map(({ name, state, share }) => `${name} ${state} ${share}`).join(", ");
}

async function reasonsOf(): Promise<string> {
	return (await realsOf())
		.flatMap(({ name, reason }) => (reason === undefined ? [] : [`${name}: ${reason}`]))
		.join(", ");
}

async function served<N extends "status" | "findings" | "fleet" | "events" | "trace">(name: N, query = "") {
	const path = `/v1/${name}${query}`;
	return await waitFor(`an answer to ${path}`, async () => {
		try {
			const response = await fetch(`http://127.0.0.1:9470${path}`, { signal: AbortSignal.timeout(5000) });
			const body = await response.text();
			assertDescribed(path, {
				status: response.status,
				type: response.headers.get("content-type") ?? "",
				body,
			});
			return assertRecord(name, body);
		} catch (error) {
			if (error instanceof assert.AssertionError) throw error;
			return undefined; // the process that speaks HTTP is still starting
		}
	});
}

test("a real server that stops answering gets no new flows until it answers again, and the reason is shown", async () => {
	await using a = new RealServer(1);
	await using b = new RealServer(2);
	for (const one of [a, b])
		one.listen(
			createServer((peer) => peer.on("error", () => {}).resume()),
			8080,
		);
	await using agent = await AgentProcess.start(config);
	assert.match(await statesOf(), /^a up 0\.[45]\d*, b up 0\.[45]\d*$/);

	b.fallSilent();
	await waitFor("b out of use", async () => (await statesOf()) === "a up 1, b down 0", PATIENCE_MS);
	assert.ok(
		(await served("findings")).findings.some(
			({ kind, message }) => kind === "echo" && message.includes("nobody answers a ping"),
		),
		"the checks of a director are among the findings",
	);
	const { director } = await served("status");
	assert.deepEqual(
		director?.services[0]?.reals.map(({ name, check }) => [name, check?.state, check?.reason]),
		[
			["a", "healthy", undefined],
			["b", "unhealthy", "timeout"],
		],
	);
	assert.equal((await served("fleet")).pools[0]?.check?.intervalMs, 100);
	const traced = await served("trace", `?from=10.2.0.2&to=${VIP.ipv4.text}&port=8080`);
	assert.equal("director" in traced && traced.director?.real, "10.1.1.2");
	assert.ok((await served("events")).events.some(({ kind }) => kind === "health"));
	const [change] = (await agent.until("health")).changes;
	assert.deepEqual(
		{ ...change, previousMs: 0 },
		{
			pool: "front",
			real: "b",
			address: "10.1.2.2",
			vip: VIP.ipv4.text,
			port: 8080,
			type: "tcp",
			healthy: false,
			isNew: false,
			reason: "timeout",
			previousMs: 0,
		},
	);
	// A command beside the agent also gives the reason.
	await waitFor(
		"the reason",
		async () => (await reasonsOf()) === "b: its tcp check fails: timeout",
		PATIENCE_MS,
	);
	const repairs = agent.records.filter(({ kind }) => kind === "repaired" || kind === "contention");
	assert.deepEqual(repairs, [], "who is healthy is not drift");
	// A command beside the agent brings no unhealthy real server back.
	assert.equal((await l3dsr("up", "-c", config)).exitCode, 0);
	assert.equal(await statesOf(), "a up 1, b down 0");

	b.speakAgain();
	await waitFor("b in use again", async () => /b up 0\.[45]/.test(await statesOf()), PATIENCE_MS);
	const { message } = await agent.untilRecord<AgentRecord & { readonly message: string }>(
		(record) => record.kind === "health" && record.changes.every(({ healthy }) => healthy),
	);
	assert.match(
		message,
		/^front\/b \(10\.1\.2\.2\) passes its tcp check at 192\.0\.2\.10 port 8080 again, after \d/,
	);
	await waitFor("no reason", async () => (await reasonsOf()) === "", PATIENCE_MS);
});

test("an added real server gets no flows until its first check has succeeded, whatever commands do", async () => {
	await using a = new RealServer(1);
	await using b = new RealServer(2);
	await using c = new RealServer(3);
	const accept = () => createServer((peer) => peer.on("error", () => {}).resume());
	for (const one of [a, b]) one.listen(accept(), 8080);
	writeFleet(REALS);
	await using agent = await AgentProcess.start(config);
	assert.match(
		await statesOf(),
		/^a up 0\.[45]\d*, b up 0\.[45]\d*$/,
		"a director that starts directs at once",
	);

	writeFleet([...REALS, "{ name: c, addresses: [10.1.3.2] }"]);
	await waitFor(
		"a reason",
		async () => /c: .* not succeeded yet: refused by the VIP/.test(await reasonsOf()),
		PATIENCE_MS,
	);
	assert.match(await statesOf(), /^a up 0\.[45]\d*, b up 0\.[45]\d*, c starting 0$/);
	assert.equal((await l3dsr("up", "-c", config)).exitCode, 0);
	assert.match(await statesOf(), /c starting 0$/);
	const { changes } = await agent.until("health");
	assert.deepEqual(
		changes.map(({ real, healthy, isNew }) => [real, healthy, isNew]),
		[["c", false, true]],
	);
	const seen = agent.records.length;

	c.listen(accept(), 8080);
	await waitFor("c in use", async () => /c up 0\.3/.test(await statesOf()), PATIENCE_MS);
	const { changes: after } = await agent.until("health", seen);
	assert.deepEqual(
		after.map(({ real, healthy, isNew }) => [real, healthy, isNew]),
		[["c", true, true]],
	);
	const repairs = agent.records.filter(({ kind }) => kind === "repaired" || kind === "contention");
	assert.deepEqual(repairs, [], "who is healthy is not drift");

	// Its check failed and succeeded before; after a time out of use, these results do not count.
	assert.equal((await l3dsr("disable", "c", "-c", config)).exitCode, 0);
	await waitFor("c out of use", async () => /c disabled 0$/.test(await statesOf()), PATIENCE_MS);
	c.fallSilent();
	assert.equal((await l3dsr("enable", "c", "-c", config)).exitCode, 0);
	assert.match(await statesOf(), /c starting 0$/);
	c.speakAgain();
	await waitFor("c in use again", async () => /c up 0\.3/.test(await statesOf()), PATIENCE_MS);
});

test("a program of the director that is detached is attached again, with one record that says so", async () => {
	writeFleet(REALS);
	await using agent = await AgentProcess.start(config);
	const front = interfaceByName("front");
	// The program that waits for answers to checks is attached by a link.
	const ours = () => tcxIngress.query(front).filter(({ linkId }) => linkId === undefined);
	const [element, ...others] = ours();
	assert.ok(element !== undefined && others.length === 0);
	const known = agent.records.length;
	tcxIngress.detach(front, element);
	const { drift, cause, triggers } = await agent.until("repaired", known);
	assert.equal(ours().length, 1);
	assert.deepEqual(
		[drift.map(({ kind }) => kind), cause.kind, triggers],
		[["director-missing"], "program", ["program"]],
	);
	assert.match(cause.suspects[0] ?? "", /tc and bpftool can remove one/);
	const { exitCode, stdout } = await l3dsr("diff", "-c", config);
	assert.equal(exitCode, 0, stdout);
	assert.equal(agent.records.slice(known).filter(({ kind }) => kind === "repaired").length, 1);
});
