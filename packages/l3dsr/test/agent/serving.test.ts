/** The agent's HTTP side as a person or Prometheus uses it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { enterNetns, ip, run, waitFor } from "../../../../test/support/netns.ts";
import { assertDescribed, assertRecord } from "../../../../test/support/records.ts";
import { AgentProcess, PATIENCE_MS } from "./agent-process.ts";

enterNetns();
ip("link add eth0 type veth peer name eth0p");
ip("link set eth0 up");
ip("address add 10.0.0.5/24 dev eth0");

const folder = mkdtempSync(join(tmpdir(), "l3dsr-serving-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
const socket = join(folder, "agent.sock");
const SERVICES = "interfaces: [eth0]\nservices:\n  - { name: web, vip: 192.0.2.10, dscp: 10 }\n";
const listen = (port: number) => `agent:\n  listen: [127.0.0.1:${port}, ${socket}]\n`;
const url = (path: string, port = 9470) => `http://127.0.0.1:${port}${path}`;

async function answerOf(path: string, port?: number): Promise<{ status: number; text: string }> {
	return await waitFor(
		`an answer to ${path}`,
		async () => {
			try {
				const response = await fetch(url(path, port), { signal: AbortSignal.timeout(5000) });
				const answer = { status: response.status, text: await response.text() };
				const type = response.headers.get("content-type") ?? undefined;
				assertDescribed(path, { status: answer.status, type, body: answer.text });
				return answer;
			} catch (error) {
				if (error instanceof assert.AssertionError) throw error;
				return undefined; // the process that speaks HTTP is on its way
			}
		},
		PATIENCE_MS,
	);
}

/** Takes the VIP away (RTM_DELADDR, struct ifaddrmsg, IFA_LOCAL), under another name, and stays. */
const KEEPALIVED = `
import socket, struct, sys
open("/proc/self/comm", "w").write("keepalived")
link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
link.bind((0, 0))
body = struct.pack("=BBBBI", 2, 32, 0, 0, 1) + struct.pack("=HH4s", 8, 2, bytes([192, 0, 2, 10]))
link.send(struct.pack("=IHHII", 16 + len(body), 21, 1, 1, 0) + body)
sys.stdin.read()
`;

test("an agent serves state, findings and metrics, and changes its address when its file does", async () => {
	writeFileSync(config, SERVICES + listen(9470));
	await using agent = await AgentProcess.start(config);

	const status = assertRecord("status", (await answerOf("/v1/status")).text);
	assert.deepEqual(
		status.services.map(({ name, state }) => [name, state]),
		[["web", "up"]],
	);
	const { findings } = assertRecord("findings", (await answerOf("/v1/findings")).text);
	assert.ok(
		findings.some(({ kind }) => kind === "listeners"),
		"nothing listens on the VIP here",
	);
	assertRecord("fleet", (await answerOf("/v1/fleet")).text);
	assertRecord("trace", (await answerOf("/v1/trace?from=203.0.113.9&to=10.0.0.5&dscp=10")).text);
	const { text } = await answerOf("/metrics");
	assert.match(text, /^l3dsr_service_up\{service="web",vip="192\.0\.2\.10",dscp="10"\} 1$/m);
	assert.match(text, /^l3dsr_agent_condition\{condition="right"\} 1$/m);
	assert.ok(existsSync(socket));

	ip("address del 192.0.2.10/32 dev lo");
	await agent.until("repaired");
	const repaired = await waitFor("the repair among the metrics", async () =>
		/^l3dsr_repairs_total\{.*\} [1-9]/m.test((await answerOf("/metrics")).text),
	);
	assert.ok(repaired);

	const { events } = assertRecord("events", (await answerOf("/v1/events")).text);
	assert.deepEqual(
		events.map(({ kind }) => kind),
		agent.records.map(({ kind }) => kind),
	);

	writeFileSync(config, SERVICES + listen(9471));
	assert.equal((await answerOf("/v1/status", 9471)).status, 200);
	await assert.rejects(fetch(url("/v1/status")));
});

test("with the capabilities that the unit keeps, an agent maintains the host, names who changed it, and serves", async () => {
	const unit = readFileSync(new URL("../../../../systemd/l3dsr-agent.service", import.meta.url), "utf8");
	const [, names = ""] = /^CapabilityBoundingSet=(.+)$/m.exec(unit) ?? [];
	const left = names.split(" ").map((name) => `+${name.replace("CAP_", "").toLowerCase()}`);
	const [, umask = ""] = /^UMask=(.+)$/m.exec(unit) ?? [];
	// A user of its own, whose group may use the socket, as the packages create one.
	const inRun = join(folder, "run/l3dsr/agent.sock");
	writeFileSync(config, `${SERVICES}agent: { user: daemon, listen: ["127.0.0.1:9472", ${inRun}] }\n`);
	const capabilities = ["setpriv", "--no-new-privs", `--bounding-set=-all,${left.join(",")}`];
	await using agent = await AgentProcess.start(config, {
		command: ["sh", "-c", `umask ${umask}; exec "$@"`, "sh", ...capabilities],
	});
	assert.equal((await answerOf("/v1/status", 9472)).status, 200);
	assert.deepEqual(agent.said, []);
	// A daemon with all capabilities, as root has them, is named too.
	const daemon = spawn("python3", ["-c", KEEPALIVED], { stdio: ["pipe", "ignore", "inherit"] });
	const { cause } = await agent.until("repaired");
	assert.equal(cause.by?.program, "keepalived");
	assert.match(cause.suspects[0] ?? "", /^keepalived is running/);
	daemon.kill();
	chmodSync(folder, 0o755);
	const asMember = ["--reuid=nobody", "--regid=nogroup", "--groups=daemon"];
	const curl = ["curl", "-sS", "--unix-socket", inRun, "http://l3dsr/v1/status"];
	assertRecord("status", run("setpriv", ...asMember, ...curl));
	assert.throws(
		() => run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", ...curl),
		/connect/,
	);
});
