import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type NetConnectOpts } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { enterNetns, ip } from "../../../test/support/netns.ts";
import { ListeningSocket } from "../src/listening-socket.ts";
import { forbidNewPrivileges } from "../src/new-privileges.ts";

enterNetns();
ip("link set lo up");
const folder = mkdtempSync(join(tmpdir(), "l3dsr-listen-"));
after(() => rmSync(folder, { recursive: true }));

/** The answer that a server with this descriptor sends to a client. */
async function answerOf(listening: ListeningSocket, to: NetConnectOpts): Promise<string> {
	const server = createServer((peer) => peer.end("hello"));
	server.listen({ fd: listening.fd });
	try {
		const client = connect(to);
		let text = "";
		for await (const chunk of client) text += String(chunk);
		return text;
	} finally {
		server.close();
	}
}

test("a server that receives the descriptor accepts connections to the TCP port", async () => {
	for (const [bytes, host] of [
		[[127, 0, 0, 1], "127.0.0.1"],
		[[...Array(15).fill(0), 1], "::1"],
	] as const) {
		const listening = ListeningSocket.tcp(Uint8Array.from(bytes), 0);
		assert.equal(await answerOf(listening, { host, port: listening.port }), "hello");
	}
});

test("a Unix socket has its permissions from the start, and disposal deletes its file", async () => {
	const path = join(folder, "a.sock");
	const listening = ListeningSocket.unix(path, { mode: 0o660 });
	assert.equal(statSync(path).mode & 0o777, 0o660);
	assert.equal(await answerOf(listening, { path }), "hello");
	const other = ListeningSocket.unix(join(folder, "b.sock"), { mode: 0o600 });
	other[Symbol.dispose]();
	assert.equal(existsSync(join(folder, "b.sock")), false);
});

test("a Unix socket gets its group without CAP_CHOWN, and is not left behind when it cannot listen", () => {
	const path = join(folder, "group.sock");
	const { status, stderr } = spawnSync(
		"setpriv",
		[
			"--bounding-set=-all,+setgid",
			process.execPath,
			...process.execArgv,
			"--input-type=module",
			"-e",
			`import { ListeningSocket } from ${JSON.stringify(new URL("../src/listening-socket.ts", import.meta.url).href)};
			ListeningSocket.unix(${JSON.stringify(path)}, { mode: 0o660, group: 1 });
			process.kill(process.pid, "SIGKILL");`,
		],
		{ encoding: "utf8" },
	);
	assert.equal(status, null, stderr);
	const { uid, gid, mode } = statSync(path);
	assert.deepEqual([uid, gid, mode & 0o777], [0, 1, 0o660]);
	assert.throws(() => ListeningSocket.unix(join(folder, "bad.sock"), { mode: Number.NaN }));
	assert.equal(existsSync(join(folder, "bad.sock")), false);
});

test("a port is free again at once, even if a process that received the socket still has it", () => {
	const first = ListeningSocket.tcp(Uint8Array.of(127, 0, 0, 1), 0);
	const { port } = first;
	const holder = spawn("sleep", ["60"], { stdio: ["ignore", "ignore", "ignore", first.fd] });
	first[Symbol.dispose]();
	using _second = ListeningSocket.tcp(Uint8Array.of(127, 0, 0, 1), port);
	assert.equal(holder.exitCode, null);
	holder.kill("SIGKILL");
});

test("a Unix socket replaces the file of an ended process, and nothing else", async () => {
	const path = join(folder, "c.sock");
	spawnSync(process.execPath, [
		"-e",
		`require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`,
	]);
	assert.ok(existsSync(path), "the killed process has left its socket");
	using listening = ListeningSocket.unix(path, { mode: 0o600 });
	assert.throws(() => ListeningSocket.unix(path, { mode: 0o600 }), /EADDRINUSE/);
	assert.ok(listening.fd > 2);
	const plain = join(folder, "file");
	const datagrams = join(folder, "datagrams.sock");
	const reader = spawn("python3", [
		"-c",
		"import socket, sys, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); print(); sys.stdout.flush(); time.sleep(60)",
		datagrams,
	]);
	using _end = { [Symbol.dispose]: () => void reader.kill("SIGKILL") };
	await once(reader.stdout, "data");
	assert.throws(() => ListeningSocket.unix(datagrams, { mode: 0o600 }), /EADDRINUSE/);
	assert.ok(existsSync(datagrams), "the socket of a process that reads datagrams stays");
	writeFileSync(plain, "kept");
	assert.throws(() => ListeningSocket.unix(plain, { mode: 0o600 }), /not a socket/);
	assert.ok(existsSync(plain));
});

test("a program that is started after forbidNewPrivileges gains no privileges", () => {
	forbidNewPrivileges();
	const { stdout } = spawnSync("grep", ["NoNewPrivs", "/proc/self/status"], { encoding: "utf8" });
	assert.equal(stdout, "NoNewPrivs:\t1\n");
});
