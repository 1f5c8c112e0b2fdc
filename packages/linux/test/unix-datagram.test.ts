/** Sends datagrams to a socket of another program. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { LinuxError, SyscallError, UnixDatagramSender } from "../src/index.ts";

const folder = mkdtempSync(join(tmpdir(), "linux-unix-"));
after(() => rmSync(folder, { recursive: true }));

/** Binds, reports that, and prints the contents of `count` datagrams. */
const RECEIVER = `
import socket, sys
path, count = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(chr(0) + path[1:] if path[0] == "@" else path)
print("bound", flush=True)
for _ in range(count): print(s.recv(65536).decode(), flush=True)
`;

for (const path of [join(folder, "socket"), `@l3dsr-test-${process.pid}`]) {
	test(`a complete datagram reaches ${path.startsWith("@") ? "an abstract socket" : "a socket in a folder"}`, async () => {
		const receiver = spawn("python3", ["-c", RECEIVER, path, "2"], { stdio: ["ignore", "pipe", "inherit"] });
		let said = "";
		receiver.stdout.setEncoding("utf8").on("data", (text: string) => {
			said += text;
		});
		await once(receiver.stdout, "data");
		using _end = { [Symbol.dispose]: () => void receiver.kill("SIGKILL") };
		using sender = new UnixDatagramSender(path);
		assert.equal(sender.send(Buffer.from("READY=1")), true);
		assert.equal(sender.send(Buffer.from("STATUS=first second")), true);
		await once(receiver, "close");
		assert.equal(said, "bound\nREADY=1\nSTATUS=first second\n");
	});
}

test("reports that no process listens, or that the path is invalid", () => {
	using sender = new UnixDatagramSender(join(folder, "nobody"));
	assert.throws(
		() => sender.send(Buffer.from("x")),
		(error) => error instanceof SyscallError && error.errnoName === "ENOENT",
	);
	writeFileSync(join(folder, "file"), "");
	using toFile = new UnixDatagramSender(join(folder, "file"));
	assert.throws(
		() => toFile.send(Buffer.from("x")),
		(error) => error instanceof SyscallError && error.errnoName === "ECONNREFUSED",
	);
	for (const path of ["", "relative", `/${"x".repeat(120)}`, "/nul\0byte"]) {
		assert.throws(() => new UnixDatagramSender(path), LinuxError, path);
	}
});
