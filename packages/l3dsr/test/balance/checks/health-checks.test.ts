/** Health checks of real servers in namespaces: every type and every reason. */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { dscp, portOf } from "@l3dsr/packet";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns, run, waitFor } from "../../../../../test/support/netns.ts";
import { failureText } from "../../../src/balance/checks/failure.ts";
import { type CheckState, HealthChecks } from "../../../src/balance/checks/health-checks.ts";
import type { CheckQuestion, Fleet } from "../../../src/model/fleet.ts";
import { CODE, RealServer, VIP } from "../../vip-path/real-server.ts";

enterNetns();
failOnLeaks();

const TIMING = { intervalMs: 100, timeoutMs: 100, fall: 2, rise: 2 } as const;

function fleetOf(server: RealServer, port: number, question: CheckQuestion, timing: object = {}): Fleet {
	const addresses = [server.addresses.ipv4, server.addresses.ipv6];
	return {
		vips: [
			{
				name: "web",
				addresses: [VIP.ipv4, VIP.ipv6],
				dscp: { ipv4: dscp(CODE), ipv6: dscp(CODE) },
				services: [{ port: portOf(port), protocols: ["tcp", "udp"], pool: "front", affinity: "flow" }],
				echo: "kernel",
			},
		],
		pools: [
			{
				name: "front",
				reals: [{ name: "a1", addresses, weight: 1, state: "enabled" }],
				check: { ...TIMING, ...timing, ...question },
				drainMs: 1000,
				floor: 0,
			},
		],
	};
}

/** Waits until both families have a result that was begun after now, and `is` holds for all. */
async function until(what: string, checks: HealthChecks, is: (state: CheckState) => boolean): Promise<void> {
	try {
		await waitFor(what, () => checks.states().length > 0 && checks.states().every(is), 10_000);
	} catch (cause) {
		throw new Error(`no ${what}: ${JSON.stringify(checks.states())}`, { cause });
	}
}

/** Waits until the latest result of both families is a success. */
async function untilSuccess(checks: HealthChecks): Promise<void> {
	await until(
		"success",
		checks,
		({ checked, state, failures }) => checked && state === "healthy" && failures === 0,
	);
}

const reasons = (checks: HealthChecks) => [
	...new Set(checks.states().map(({ failure }) => failure && failureText(failure))),
];

async function expectReason(
	server: RealServer,
	port: number,
	question: CheckQuestion,
	reason: string | RegExp,
	timing = {},
): Promise<void> {
	await using checks = new HealthChecks();
	checks.start(fleetOf(server, port, question, timing));
	await until(`failure that says ${reason}`, checks, ({ state }) => state === "failing");
	for (const found of reasons(checks)) {
		if (typeof reason === "string") assert.equal(found, reason);
		else assert.match(found ?? "", reason);
	}
}

/**
 * UDP services in their own process: Node would open the sockets after this process has left the namespace.
 */
/** `silentAt`: numbers of the requests that get no answer, from 1. */
async function udpServer(
	server: RealServer,
	answer: string,
	addresses: readonly string[],
	silentAt: readonly number[] = [],
): Promise<number> {
	const script = `let asked = 0;
	const silentAt = ${JSON.stringify(silentAt)};
	for (const address of ${JSON.stringify(addresses)}) {
		const socket = require("dgram").createSocket(address.includes(":") ? "udp6" : "udp4");
		socket.on("message", (_, { port, address }) => {
			if (!silentAt.includes(++asked)) socket.send(${JSON.stringify(answer)}, port, address);
		});
		socket.bind(5353, address, () => console.log("bound"));
	}`;
	const child = server.netns.spawn(process.execPath, "-e", script);
	let bound = "";
	child.stdout?.on("data", (text) => {
		bound += text;
	});
	await waitFor("UDP sockets", () => bound.split("\n").length > addresses.length);
	return 5353;
}

test("an answering real server is healthy, a dead one is unhealthy, and it recovers", async () => {
	await using server = new RealServer(1);
	const port = server.listenTcp();
	const changes: CheckState[] = [];
	await using checks = new HealthChecks({ onChange: (state) => changes.push(state) });
	checks.start(fleetOf(server, port, { type: "tcp" }, { intervalMs: 300, timeoutMs: 300 }));
	// Checks may fail until the kernel has resolved the neighbours on a new link.
	await until(
		"success",
		checks,
		({ counts, state, failures }) => counts.succeeded > 1 && state === "healthy" && failures === 0,
	);
	changes.length = 0;
	server.fallSilent();
	await until("death", checks, ({ state }) => state === "failing");
	assert.deepEqual(reasons(checks), ["timeout"]);
	for (const protocol of [6, 17])
		assert.equal(checks.healthOf({ address: VIP.ipv4, protocol, port }, "front", "a1"), "failing");
	assert.equal(
		checks.healthOf({ address: VIP.ipv4, protocol: 6, port }, "other", "a1"),
		"healthy",
		"without a check",
	);
	server.speakAgain();
	await until("recovery", checks, ({ state }) => state === "healthy");
	assert.deepEqual(changes.map(({ vip, state }) => `${vip.family} ${state}`).sort(), [
		"ipv4 failing",
		"ipv4 healthy",
		"ipv6 failing",
		"ipv6 healthy",
	]);
});

test("the reason is reported: refused at the VIP, and answered at the real address", async () => {
	await using server = new RealServer(1);
	await expectReason(server, 9, { type: "tcp" }, "refused by the VIP");
	const port = server.listenTcp();
	server.removeRule();
	await expectReason(server, port, { type: "tcp" }, "answered by the real address: no rule there");
	await expectReason(server, 9, { type: "tcp" }, "refused by the real address: no rule there");
	server.addRule();
	await using checks = new HealthChecks();
	checks.start(fleetOf(server, port, { type: "tcp" }));
	await untilSuccess(checks);
});

test("a check uses its own port instead of the service's, once for all services", async () => {
	await using server = new RealServer(1);
	const port = server.listenTcp();
	await using checks = new HealthChecks();
	checks.start(fleetOf(server, 9, { type: "tcp", port: portOf(port) }));
	await untilSuccess(checks);
	assert.deepEqual(
		checks.states().map(({ port: asked, services }) => [asked, services.length]),
		[
			[port, 2],
			[port, 2],
		],
	);
});

test("http: checks status, host and path, and detects other protocols, closed and silent connections", async () => {
	await using server = new RealServer(1);
	const asked: string[] = [];
	const http = createHttpServer(({ method, url, headers: { host } }, response) => {
		asked.push(`${method} ${url} ${host}`);
		response.writeHead(url === "/sick" ? 503 : 204).end();
	});
	const port = server.listen(http);
	const question = { type: "http", path: "/", expect: [204] } as const;
	await using checks = new HealthChecks();
	checks.start(fleetOf(server, port, { ...question, path: "/well?deep=1" }));
	await untilSuccess(checks);
	assert.deepEqual(
		[...new Set(asked)].sort(),
		[`GET /well?deep=1 192.0.2.10:${port}`, `GET /well?deep=1 [2001:db8:a::10]:${port}`].sort(),
	);
	checks.start(fleetOf(server, port, { ...question, host: "www.example.com" }));
	await waitFor("the Host header", () => asked.includes("GET / www.example.com"));
	await expectReason(server, port, { ...question, path: "/sick" }, "answered with status 503, expected 204");
	const talker = server.listen(createServer((peer) => peer.on("error", () => {}).end("hello\n")));
	await expectReason(server, talker, question, /^the answer is not HTTP: /);
	const hangsUp = server.listen(createServer((peer) => peer.on("error", () => {}).destroy()));
	await expectReason(server, hangsUp, question, "connection closed before the answer");
	await expectReason(server, server.listenTcp(), question, "timeout after the connection");
});

test("https: checks the certificate and its name, or not, as configured", async () => {
	await using server = new RealServer(1);
	const [key, cert] = ["key", "cert"].map((name) =>
		join(tmpdir(), `l3dsr-check-${process.pid}-${name}.pem`),
	) as [string, string];
	const subject = ["-subj", "/CN=www.example.com", "-addext", "subjectAltName=DNS:www.example.com"];
	run(
		"openssl",
		..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(" "),
		...subject,
		"-keyout",
		key,
		"-out",
		cert,
	);
	const secure = createHttpsServer(
		{ key: readFileSync(key), cert: readFileSync(cert) },
		(_request, response) => response.end(),
	);
	for (const file of [key, cert]) rmSync(file);
	const port = server.listen(secure);
	const question = { type: "https", path: "/", expect: [200], host: "www.example.com" } as const;
	const timing = { intervalMs: 1000, timeoutMs: 1000 };
	await using checks = new HealthChecks();
	checks.start(fleetOf(server, port, { ...question, verify: false }, timing));
	await untilSuccess(checks);
	await expectReason(
		server,
		port,
		{ ...question, verify: true },
		/^certificate refused: .*self.signed/,
		timing,
	);
	const plain = server.listen(createHttpServer((_request, response) => response.end()));
	await expectReason(server, plain, { ...question, verify: true }, /^TLS failed: /, timing);
	await expectReason(server, server.listenTcp(), question, "timeout during the TLS handshake");
});

test("udp: accepts any answer, or an expected beginning, and detects a closed port, no rule, silence", async () => {
	await using server = new RealServer(1);
	const question = { type: "udp", send: new TextEncoder().encode("ping") } as const;
	const port = await udpServer(server, "pong and more", [VIP.ipv4.text, VIP.ipv6.text]);
	await using checks = new HealthChecks();
	checks.start(fleetOf(server, port, question));
	await untilSuccess(checks);
	await using expecting = new HealthChecks();
	expecting.start(fleetOf(server, port, { ...question, expect: new TextEncoder().encode("pong") }));
	await untilSuccess(expecting);
	const other = new TextEncoder().encode("gong");
	await expectReason(server, port, { ...question, expect: other }, "the answer does not begin as expected");
	await expectReason(server, 99, question, "refused by the VIP");
	server.removeRule();
	await expectReason(server, port, question, "refused by the real address: no rule there");
	await udpServer(server, "pong", [server.addresses.ipv4.text, server.addresses.ipv6.text]);
	await expectReason(
		server,
		port,
		question,
		"answered by the real address: no rule there, or the service is not bound to the VIP",
	);
	server.fallSilent();
	await expectReason(server, port, question, "timeout");
});

test("after a failure the next requests overlap, and an answer to one cancels an older one", async () => {
	await using server = new RealServer(1);
	// The second fails; the third is still pending when the fourth, which starts during it, is answered.
	const port = await udpServer(server, "pong", [VIP.ipv4.text], [2, 3]);
	let results = "";
	await using checks = new HealthChecks({
		onResult: ({ failure }) => {
			results += failure === undefined ? "+" : "-";
		},
	});
	const fleet = fleetOf(
		server,
		port,
		{ type: "udp", send: Uint8Array.of(1) },
		{ intervalMs: 50, timeoutMs: 600, fall: 3 },
	);
	checks.start({ ...fleet, vips: fleet.vips.map((vip) => ({ ...vip, addresses: [VIP.ipv4] })) });
	// Before the first success, the neighbour may be unknown.
	await waitFor("answers", () => (results.match(/[+]/g) ?? []).length > 15, 10_000);
	assert.match(results.slice(results.indexOf("+")), /^\+-\++$/);
});

test("icmp: sends an echo request along the VIP's path", async () => {
	await using server = new RealServer(1);
	writeFileSync("/proc/sys/net/ipv4/ping_group_range", "0 0");
	await using checks = new HealthChecks();
	checks.start(fleetOf(server, 80, { type: "icmp" }));
	await untilSuccess(checks);
	server.removeRule();
	await expectReason(server, 80, { type: "icmp" }, "answered by the real address: no rule there");
	writeFileSync("/proc/sys/net/ipv4/ping_group_range", "1 0");
	await expectReason(server, 80, { type: "icmp" }, "this host could not send: EACCES (permission denied)");
});

test("exec: the exit status decides, the output is the reason, and a late command is ended", async () => {
	await using server = new RealServer(1);
	const timing = { intervalMs: 500, timeoutMs: 500 };
	const shell = (script: string) => ({ type: "exec", command: ["/bin/sh", "-c", script] }) as const;
	await using checks = new HealthChecks();
	checks.start(
		fleetOf(
			server,
			80,
			shell(
				'test "$L3DSR_REAL_NAME $L3DSR_POOL $L3DSR_PORT $L3DSR_DSCP $L3DSR_TOS" = "a1 front 80 7 28" && case "$L3DSR_VIP $L3DSR_REAL" in "192.0.2.10 10.1.1.2"|"2001:db8:a::10 2001:db8:1:1::2") ;; *) false;; esac',
			),
			timing,
		),
	);
	await untilSuccess(checks);
	await expectReason(
		server,
		80,
		shell("echo disk full; echo more; exit 3"),
		"exit status 3: disk full",
		timing,
	);
	await expectReason(
		server,
		80,
		{ type: "exec", command: ["/nonexistent"] },
		/^could not be started: .*ENOENT/,
		timing,
	);
	await expectReason(
		server,
		80,
		{ type: "exec", command: ["/etc/passwd/check"] },
		/^could not be started: .*ENOTDIR/,
		timing,
	);
	await expectReason(server, 80, shell("sleep 1000 & wait"), "timeout of the command", {
		intervalMs: 60,
		timeoutMs: 60,
	});
});

test("a new fleet keeps the results of unchanged requests and remaining real servers", async () => {
	await using server = new RealServer(1);
	const port = server.listenTcp();
	await using checks = new HealthChecks();
	checks.start(fleetOf(server, 9, { type: "tcp" }));
	await until("death", checks, ({ state }) => state === "failing");
	const [before] = checks.states();
	checks.start(fleetOf(server, 9, { type: "tcp" }, { intervalMs: 70 }));
	const [after] = checks.states();
	assert.ok(
		(after?.counts.failed ?? 0) >= (before?.counts.failed ?? 1),
		"the same request with another interval",
	);
	checks.start(fleetOf(server, 9, { type: "tcp", port: portOf(port) }));
	assert.ok(
		checks.states().every(({ state, checked }) => state === "failing" && !checked),
		"another request",
	);
	await until("health after the first success", checks, ({ state }) => state === "healthy");
	checks.start({ vips: [], pools: [] });
	assert.deepEqual(checks.states(), []);
});

test("a real server without a result has the health that the caller assumes", async () => {
	await using server = new RealServer(1);
	await using checks = new HealthChecks();
	checks.start(
		fleetOf(server, 9, { type: "tcp" }, { intervalMs: 10_000, timeoutMs: 10_000 }),
		({ address }) => (address.family === "ipv4" ? "starting" : "failing"),
	);
	assert.deepEqual(
		checks.states().map(({ vip, state, checked }) => [vip.family, state, checked]),
		[
			["ipv4", "starting", false],
			["ipv6", "failing", false],
		],
	);
});
