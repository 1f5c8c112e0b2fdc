/** The agent's side and the process that speaks HTTP together, over real sockets. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { Agent, type IncomingMessage, request } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { enterNetns, run, waitFor } from "../../../../test/support/netns.ts";
import {
	assertDescribed,
	assertEventDescribed,
	assertRecord,
	OPENAPI,
} from "../../../../test/support/records.ts";
import type { Front } from "../../src/serve/front.ts";
import { COMMAND, RecordedAgent, sample } from "./recorded.ts";

enterNetns();

const PATIENCE_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), "l3dsr-serve-"));
// The process that speaks HTTP reads it as another user.
chmodSync(folder, 0o755);
after(() => rmSync(folder, { recursive: true }));
const SOCKET = "/run/l3dsr/agent.sock";
const PORT = 9470;

interface Got {
	readonly status: number;
	readonly headers: IncomingMessage["headers"];
	readonly body: string;
}

/**
 * Opens a new connection each time, over the Unix socket unless `host` is given. The response must be one
 * that openapi.yaml describes.
 */
async function get(
	path: string,
	headers: Record<string, string> = {},
	{ method = "GET", host }: { method?: string; host?: string } = {},
): Promise<Got> {
	const got = await ask(path, headers, { method, host });
	const isDescribed = (path.split("?", 1)[0] ?? "") in OPENAPI.paths;
	if (method === "GET" && isDescribed && got.headers["content-encoding"] === undefined) {
		assertDescribed(path, { ...got, type: got.headers["content-type"] });
	}
	return got;
}

function ask(
	path: string,
	headers: Record<string, string>,
	{ method, host }: { readonly method: string; readonly host: string | undefined },
): Promise<Got> {
	return new Promise((resolve, reject) => {
		const where = host === undefined ? { socketPath: SOCKET } : { host, port: PORT };
		const asked = request({ ...where, path, method, headers, agent: new Agent() }, (response) => {
			let body = "";
			response.setEncoding("utf8");
			response.on("data", (piece: string) => {
				body += piece;
			});
			response.on("end", () =>
				resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
			);
			response.on("error", reject);
		});
		asked.on("error", reject);
		asked.end();
	});
}

const local = (path: string, headers: Record<string, string> = {}, method = "GET") =>
	get(path, headers, { host: "127.0.0.1", method });

/** The fields of a process in /proc/PID/status. */
function statusOf(pid: number): Record<string, string> {
	const text = readFileSync(`/proc/${pid}/status`, "utf8");
	return Object.fromEntries(text.split("\n").map((line) => line.split(/:\s*/, 2) as [string, string])); // two parts
}

describe("the agent's HTTP process", () => {
	const agent = new RecordedAgent();
	let front: Front;
	before(async () => {
		writeFileSync(join(folder, "index.html"), "<!doctype html><title>l3dsr</title>");
		writeFileSync(join(folder, "secret.key"), "not of the page");
		front = agent.serve([SOCKET, `127.0.0.1:${PORT}`], { page: folder });
		await waitForServer();
	});
	after(() => front[Symbol.dispose]());

	it("answers with the agent's records, byte for byte", async () => {
		for (const [path, name] of [
			["/v1/status", "status-real-server"],
			["/v1/findings", "findings"],
			["/v1/fleet", "fleet"],
			["/v1/events", "events"],
		] as const) {
			const { status, headers, body } = await local(path);
			assert.deepEqual([status, headers["content-type"]], [200, "application/json"]);
			assert.deepEqual(JSON.parse(body), JSON.parse(sample(name)));
		}
	});

	it("runs as another user without capabilities, and cannot gain any", () => {
		assert.ok(front.pid !== undefined);
		const { Uid, CapPrm, CapEff, CapAmb, NoNewPrivs, Groups } = statusOf(front.pid);
		assert.notEqual(Uid?.split("\t")[0], "0");
		assert.deepEqual([CapPrm, CapEff, CapAmb].map(Number), [0, 0, 0]);
		assert.deepEqual([NoNewPrivs, Groups?.trim()], ["1", ""]);
	});

	it("lets only root and its own group connect to the Unix socket", () => {
		assert.equal(statSync(SOCKET).mode & 0o777, 0o660);
	});

	it("answers that nothing has changed if the client has the answer, and compresses if the client accepts that", async () => {
		const first = await local("/v1/fleet");
		const again = await local("/v1/fleet", { "if-none-match": first.headers.etag ?? "" });
		assert.deepEqual([again.status, again.body], [304, ""]);
		for (const known of [`W/${first.headers.etag}`, `"other", ${first.headers.etag}`, "*"])
			assert.equal((await local("/v1/fleet", { "if-none-match": known })).status, 304, known);
		assert.equal((await local("/v1/fleet", { "if-none-match": '"other"' })).status, 200);
		for (const refused of ["gzip;q=0", "gzip; q=0.0", "br, gzip ;q=0, deflate", "br"]) {
			const plain = await local("/v1/status", { "accept-encoding": refused });
			assert.equal(plain.headers["content-encoding"], undefined, refused);
		}
		for (const accepted of ["gzip;q=0.5", "br;q=0, GZIP"]) {
			const small = await local("/v1/status", { "accept-encoding": accepted });
			assert.equal(small.headers["content-encoding"], "gzip", accepted);
		}
		const zipped = await local("/v1/status", { "accept-encoding": "gzip" });
		assert.equal(zipped.headers["content-encoding"], "gzip");
		assert.equal(
			run("curl", "-s", "--compressed", "--unix-socket", SOCKET, "http://l3dsr/v1/status").trim(),
			sample("status-real-server"),
		);
	});

	it("asks the agent once for simultaneous requests of many clients", async () => {
		agent.happen("so that what was answered before is old");
		const before = agent.asked.status;
		await waitFor("the event", async () => (await local("/v1/events")).body.includes("so that what"));
		await Promise.all(Array.from({ length: 50 }, () => local("/v1/status")));
		assert.ok(agent.asked.status - before <= 2, `asked ${agent.asked.status - before} times`);
	});

	it("refuses foreign names and pages: DNS rebinding, cross-origin requests, proxy requests", async () => {
		for (const [headers, expected] of [
			[{ host: "attacker.example" }, 403],
			[{ host: "127.0.0.1.attacker.example:9470" }, 403],
			[{ host: "127.0.0.1:9470", origin: "http://attacker.example" }, 403],
			[{ host: "127.0.0.1:9470", origin: "null" }, 403],
			[{ host: "127.0.0.1:9470", origin: "https://127.0.0.1:9470" }, 403],
			[{ host: "127.0.0.1:9470", origin: "http://127.0.0.1:9470" }, 200],
			[{ host: "localhost:9470" }, 200],
			[{ host: "LOCALHOST.:9470" }, 200],
			[{ host: "[::1]:9470" }, 200],
			[{ host: run("hostname").trim() }, 200],
		] as const) {
			const { status, body } = await local("/v1/status", headers);
			assert.equal(status, expected, JSON.stringify(headers));
			if (expected === 403) assert.equal(assertRecord("errors", body).errors[0]?.code, "API_REFUSED");
		}
		const proxied = await local("http://127.0.0.1:9470/v1/status");
		assert.equal(proxied.status, 400);
		assert.match(
			await raw("GET /v1/status HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"),
			/^HTTP\/1.1 403/,
		);
		assert.match(await raw("GET /v1/status HTTP/1.0\r\n\r\n"), /^HTTP\/1.1 403/);
		assert.match(
			await raw(
				"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: attacker.example\r\nConnection: close\r\n\r\n",
			),
			/^HTTP\/1.1 (400|403)/,
		);
	});

	it("accepts no request that could change something", async () => {
		for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]) {
			const { status, headers, body } = await local("/v1/status", {}, method);
			assert.deepEqual([status, headers.allow], [405, "GET, HEAD"], method);
			assertRecord("errors", body);
		}
		const head = await local("/v1/status", {}, "HEAD");
		assert.deepEqual([head.status, head.body], [200, ""]);
	});

	it("serves the page's files by their names, and no other file", async () => {
		const { status, headers, body } = await local("/");
		assert.deepEqual([status, headers["content-type"]], [200, "text/html; charset=utf-8"]);
		assert.match(body, /<title>l3dsr/);
		assert.match(headers["content-security-policy"]?.toString() ?? "", /default-src 'none'/);
		for (const path of [
			"/secret.key",
			"/../secret.key",
			"/%2e%2e/etc/passwd",
			"//etc/passwd",
			"/.",
			"/v1",
			"/v2/status",
		]) {
			const { status, body } = await local(path);
			assert.equal(status, 404, path);
			assertRecord("errors", body);
		}
	});

	it("passes the packet of a trace to the agent as checked values, and refuses invalid ones", async () => {
		const { status, body } = await local(
			"/v1/trace?from=203.0.113.9&to=10.0.0.5&dscp=28&port=443&interface=eth0",
		);
		assertRecord("trace", body);
		assert.equal(status, 200);
		assert.deepEqual(agent.questions.at(-1), {
			from: "203.0.113.9",
			to: "10.0.0.5",
			protocol: "tcp",
			port: 443,
			dscp: 28,
			ecn: 0,
			ttl: 64,
			mark: 0,
			interface: "eth0",
		});
		const wrong = await local("/v1/trace?from=203.0.113.9&to=2001:db8::1&dscp=64&port=0&x=1&mark=1&mark=2");
		assert.equal(wrong.status, 400);
		assert.deepEqual(
			assertRecord("errors", wrong.body).errors.map(({ message }) => message),
			[
				'there is no field "x": expected from, to, protocol, port, source, dscp, ecn, ttl, mark, interface',
				"mark is given twice",
				"port is not a number from 1 to 65535",
				"dscp is not a number from 0 to 63",
			],
		);
		const refused = await local("/v1/trace?from=203.0.113.9&to=10.0.0.5&interface=nowhere");
		assert.deepEqual(
			[refused.status, assertRecord("errors", refused.body).errors[0]?.message],
			[400, "trace a packet: there is no interface nowhere"],
		);
	});

	it("streams events: first those that a client has missed, then each as it happens", async () => {
		const missed = await local("/v1/events");
		const last = JSON.parse(missed.body).events.at(-1).id;
		const stream = await openStream(last - 1);
		await waitFor("the missed event", () => stream.text().includes(`id: ${last}\n`), PATIENCE_MS);
		agent.happen("rules of web were repaired");
		await waitFor("the new event", () => stream.text().includes("rules of web were repaired"), PATIENCE_MS);
		await waitFor(
			"word that the status is another",
			() => stream.text().includes("event: status\n"),
			PATIENCE_MS,
		);
		const ids = [...stream.text().matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
		assert.deepEqual(ids, [last, last + 1]);
		const data = [...stream.text().matchAll(/^event: event\ndata: (.*)$/gm)];
		assert.equal(data.length, ids.length);
		for (const [, json = ""] of data) assertEventDescribed(json);
		stream.socket.destroy();
	});

	it("is restarted after it is killed, with connections waiting meanwhile, and knows all events", async () => {
		const { pid } = front;
		assert.ok(pid !== undefined);
		process.kill(pid, "SIGKILL");
		await waitFor("the end of it", () => front.pid !== pid, PATIENCE_MS);
		// Not refused: the socket is the agent's.
		const { status, body } = await local("/v1/events");
		assert.equal(status, 200);
		assert.match(body, /rules of web were repaired/);
		assert.notEqual(front.pid, pid);
		assert.match(agent.problems.at(-1) ?? "", /has ended \(SIGKILL\) and is restarted/);
		const stream = await openStream(0);
		await waitFor(
			"the events of before",
			() => stream.text().includes("rules of web were repaired"),
			PATIENCE_MS,
		);
		stream.socket.destroy();
	});

	it("answers while a thousand clients send nothing, or half a request, or do not read", async () => {
		const { pid } = front;
		const slow: Socket[] = [];
		for (let n = 0; n < 1000; n++) {
			const socket = connect(PORT, "127.0.0.1");
			socket.on("error", () => {});
			slow.push(socket);
			if (n % 3 === 1) socket.write("GET /v1/status HTTP/1.1\r\nHost: localh");
			if (n % 3 === 2) {
				socket.pause();
				socket.write("GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100));
			}
		}
		assert.equal((await local("/v1/status")).status, 200);
		assert.equal((await get("/v1/status")).status, 200);
		const stream = await openStream(0);
		agent.happen("an event while they hang");
		const isTold = () => stream.text().includes("an event while they hang");
		await waitFor("the event", isTold, PATIENCE_MS);
		assert.equal(front.pid, pid, "the same process answers");
		stream.socket.destroy();
		for (const socket of slow) socket.destroy();
	});

	it("limits headers and the duration of a request", async () => {
		const long = await raw(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(20_000)}\r\n\r\n`);
		assert.match(long, /^HTTP\/1.1 431 /);
		const unfinished = await raw("GET / HTTP/1.1\r\nHost: localhost\r\nX: ");
		assert.match(unfinished, /^HTTP\/1.1 408 /);
	});

	async function waitForServer(): Promise<void> {
		await waitFor(
			"the server",
			async () => (await get("/v1/status").catch(() => undefined))?.status === 200,
			PATIENCE_MS,
		);
	}

	function openStream(lastId: number): Promise<{ socket: Socket; text: () => string }> {
		return new Promise((resolve) => {
			const socket = connect(PORT, "127.0.0.1");
			let text = "";
			socket.setEncoding("utf8");
			socket.on("data", (piece: string) => {
				text += piece;
				if (text.includes("\r\n\r\n")) resolve({ socket, text: () => text });
			});
			socket.write(
				`GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nLast-Event-ID: ${lastId}\r\n\r\n`,
			);
		});
	}
});

/** The answer until the server closes. */
async function raw(text: string): Promise<string> {
	const socket = connect(PORT, "127.0.0.1");
	let answer = "";
	socket.setEncoding("utf8");
	socket.on("data", (piece: string) => {
		answer += piece;
		// A valid request keeps the connection.
		if (answer.startsWith("HTTP/1.1 200") && answer.includes("\r\n\r\n")) socket.end();
	});
	socket.on("error", () => {});
	socket.write(text);
	await once(socket, "close");
	return answer;
}

describe("an address or file that cannot be served", () => {
	it("is reported and retried, while the other addresses and the agent continue", async () => {
		const agent = new RecordedAgent();
		using front = agent.serve(["192.0.2.1:80", SOCKET], { page: folder });
		await waitFor(
			"the socket",
			async () => (await get("/v1/status").catch(() => undefined))?.status === 200,
			PATIENCE_MS,
		);
		assert.deepEqual(front.listening, [SOCKET]);
		assert.match(
			agent.problems[0] ?? "",
			/^cannot serve HTTP at 192\.0\.2\.1:80: .*EADDRNOTAVAIL.* \(it is served when this host has that address\)$/,
		);
	});

	it("includes a stopped process: another one replaces it", async () => {
		const agent = new RecordedAgent();
		const pingMs = 1000;
		using front = agent.serve([SOCKET], { page: folder, pingMs });
		const answers = async () => (await get("/v1/status").catch(() => undefined))?.status === 200;
		await waitFor("the server", answers, PATIENCE_MS);
		// During its start it may leave more pings unanswered. Its requests to the agent follow its pong.
		const served = performance.now();
		const pinged = async () => performance.now() - served > pingMs && (await answers());
		await waitFor("an answer behind the first ping", pinged, PATIENCE_MS);
		const { pid } = front;
		assert.ok(pid !== undefined);
		process.kill(pid, "SIGSTOP");
		await waitFor("another process", () => front.pid !== pid, PATIENCE_MS);
		await waitFor("its answer", answers, PATIENCE_MS);
		assert.match(agent.problems.at(-1) ?? "", /has ended \(it did not answer the agent 3 times\)/);
	});

	it("includes a token file without a token, a certificate that cannot be used, an unknown user, and a missing program", async () => {
		const empty = join(folder, "empty");
		writeFileSync(empty, "\n");
		for (const [settings, said] of [
			[
				{ tokenFile: empty },
				/cannot serve HTTP: read the token from .*empty: its first line must be at least 16/,
			],
			[
				{ tls: { certificate: empty, key: empty } },
				/cannot serve HTTP: use the certificate .*empty with the key .*empty: .*\(both are PEM files/,
			],
			[{ tokenFile: "/nowhere/token" }, /cannot serve HTTP: .*\/nowhere\/token/],
			[
				{ user: "no-such-user" },
				/cannot serve HTTP: serve HTTP as no-such-user: \/etc\/passwd has no such user/,
			],
			[{ command: ["/nowhere/l3dsr"] as const }, /has ended \(spawn \/nowhere\/l3dsr ENOENT\)/],
		] as const) {
			const agent = new RecordedAgent();
			using _front = agent.serve([SOCKET], settings);
			await waitFor("the problem", () => agent.problems.length > 0, PATIENCE_MS);
			assert.match(agent.problems[0] ?? "", said);
		}
	});

	it("includes any address if the process has privileges: it ends, and reports why", () => {
		const [program, ...args] = COMMAND;
		const { status, stderr } = spawnSync(program, args, { input: "", encoding: "utf8" });
		assert.equal(status, 1);
		assert.match(stderr, /still has privileges and refuses to serve: it runs as root, it has capabilities/);
	});
});
