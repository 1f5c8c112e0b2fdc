/** The agent beside operators, and after it or its files have failed. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { enterNetns, ip, run, waitFor } from "../../../../test/support/netns.ts";
import { assertRecord } from "../../../../test/support/records.ts";
import { l3dsr } from "../cli/run-command.ts";
import { AgentProcess, PATIENCE_MS } from "./agent-process.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-agent-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
const WEB = "services:\n  - { vip: 192.0.2.10, name: web, dscp: 7 }\n";
const BOTH = `${WEB}  - { vip: 192.0.2.12, name: plain }\n`;

const isOnLo = (vip: string): boolean => ip(`-o addr show dev lo to ${vip}`) !== "";

test("an operator's down stays in force until up, even after the agent is restarted", async () => {
	writeFileSync(config, BOTH);
	{
		await using agent = await AgentProcess.start(config);
		const { pid } = agent.child;
		const keeps = `agent: process ${pid} keeps this host as ${config} says`;
		assert.match((await l3dsr("status", "-c", config)).stdout, new RegExp(`^${keeps}$`, "m"));
		const other = join(folder, "other.yaml");
		writeFileSync(other, WEB);
		assert.match(
			(await l3dsr("status", "-c", other)).stdout,
			new RegExp(`^${keeps}, and not as ${other} says$`, "m"),
		);
		const up = await l3dsr("up", "-c", config);
		assert.equal(
			up.stdout,
			`nothing to do: 2 services are up\nthe agent (process ${pid}) keeps this host so\n`,
		);
		const planned = await l3dsr("up", "-n", "-c", other);
		assert.match(
			planned.stdout,
			new RegExp(`^the agent .* keeps this host as ${config} says: l3dsr up with ${other} is refused`, "m"),
		);
		const down = await l3dsr("down");
		assert.match(
			down.stdout,
			new RegExp(
				`^done: no service is up\nthe agent \\(process ${pid}\\) leaves this host alone until l3dsr up, also`,
				"m",
			),
		);
		await agent.until("held");
		const { keeping } = assertRecord("plan", (await l3dsr("down", "--json")).stdout);
		assert.deepEqual(
			[keeping.agent, keeping.hold?.by],
			[{ process: pid, configuration: config }, "l3dsr down"],
		);
		assert.match(
			(await l3dsr("status", "-c", config)).stdout,
			new RegExp(`^agent: process ${pid} leaves this host alone until l3dsr up \\(l3dsr down, 20`, "m"),
		);
		agent.child.kill("SIGHUP");
		await waitFor("no VIP", () => !isOnLo("192.0.2.12"));
	}
	assert.match(
		(await l3dsr("status", "-c", config)).stdout,
		/^agent: none runs, and one that starts leaves /m,
	);
	await using agent = await AgentProcess.start(config);
	await agent.until("held");
	assert.equal(isOnLo("192.0.2.12"), false);
	assert.equal((await l3dsr("up", "-c", config)).exitCode, 0);
	await agent.until("released");
	await agent.until("configured");
	ip("addr del 192.0.2.12/32 dev lo");
	await agent.until("repaired");
	assert.equal(isOnLo("192.0.2.12"), true);
});

test("up with another file and a second agent are refused while an agent keeps the host", async () => {
	writeFileSync(config, BOTH);
	await using agent = await AgentProcess.start(config);
	const other = join(folder, "other.yaml");
	writeFileSync(other, WEB);
	const up = await l3dsr("up", "-c", other);
	assert.equal(up.exitCode, 1);
	assert.match(up.stderr, /^error\[AGENT_RUNNING\]: .*\(process \d+\) keeps it as .*l3dsr\.yaml says/);
	const second = new AgentProcess(other);
	assert.equal((await second.ended).exitCode, 1);
	assert.match(second.said.join("\n"), /AGENT_RUNNING/);
	assert.equal(agent.child.exitCode, null);
});

test("an unusable file changes nothing, and the last good configuration is still repaired", async () => {
	writeFileSync(config, BOTH);
	await using agent = await AgentProcess.start(config);
	for (const text of ["", "services: [\n", "servics: []\n"]) {
		const known = agent.records.length;
		writeFileSync(config, text);
		const { errors, keptServices } = await agent.until("configuration-refused", known);
		assert.equal(keptServices, 2);
		assert(errors.length > 0);
	}
	// Each reason why it cannot be read is told.
	const reasons = [
		[() => rmSync(config), /ENOENT/],
		[() => mkdirSync(config), /EISDIR/],
		[() => run("sh", "-c", 'rmdir "$0" && mkfifo "$0"', config), /FIFO/],
	] as const;
	for (const [make, reason] of reasons) {
		const known = agent.records.length;
		make();
		const { errors } = await agent.until("configuration-refused", known);
		assert.match(errors[0]?.message ?? "", reason);
	}
	rmSync(config);
	const known = agent.records.length;
	ip("addr del 192.0.2.12/32 dev lo");
	await agent.until("repaired", known);
	writeFileSync(config, BOTH);
	await agent.until("configuration-restored", known);
	// Like configuration management: one step switches a link to another folder.
	for (const [name, text] of [
		["one", BOTH],
		["two", WEB],
	] as const) {
		mkdirSync(join(folder, name));
		writeFileSync(join(folder, name, "l3dsr.yaml"), text);
	}
	symlinkSync("one", join(folder, "data"));
	symlinkSync("data/l3dsr.yaml", join(folder, "link~"));
	renameSync(join(folder, "link~"), config);
	symlinkSync("two", join(folder, "data~"));
	renameSync(join(folder, "data~"), join(folder, "data"));
	const { services } = await agent.until("configured", known);
	assert.equal(services, 1);
	assert.equal(isOnLo("192.0.2.12"), false);
	rmSync(config);
});

test("rules and VIPs outlive a killed agent, and the next agent finds nothing to do", async () => {
	writeFileSync(config, BOTH);
	{
		await using agent = await AgentProcess.start(config);
		agent.child.kill("SIGKILL");
		await agent.ended;
	}
	assert.equal(isOnLo("192.0.2.12"), true);
	assert.match(run("nft", "list", "ruleset"), /192\.0\.2\.10/);
	await using agent = await AgentProcess.start(config);
	const { steps } = await agent.until("configured");
	assert.deepEqual(steps, []);
});

test("an unusable file prevents the start, and the exit code is that of up", async () => {
	writeFileSync(config, "");
	const agent = new AgentProcess(config);
	assert.equal((await agent.ended).exitCode, 2);
	assert.match(agent.said.join("\n"), /CONFIG_MISSING/);
});

test("a second manager is noticed, named, and no longer answered at once", async () => {
	writeFileSync(config, BOTH);
	await using agent = await AgentProcess.start(config);
	const { delayMs, subjects } = await (async () => {
		for (;;) {
			const contention = agent.records.find((record) => record.kind === "contention");
			if (contention?.kind === "contention") return contention;
			await waitFor("a repair", () => isOnLo("192.0.2.12"), PATIENCE_MS);
			ip("addr del 192.0.2.12/32 dev lo");
		}
	})();
	assert(delayMs > 0);
	assert(subjects.includes("192.0.2.12 on lo is not there"));
});
