/** Standard output without Node's streams: to a file, to a slow pipe, to a pipe without a reader. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { FROM_SOURCE } from "../../../../test/support/node.ts";

const printer = fileURLToPath(new URL("print-lines.ts", import.meta.url));
const command = (...args: readonly string[]) => [process.execPath, ...FROM_SOURCE, printer, ...args];
const COUNT = 20_000;
/** More than a pipe holds. */
const LINES = Array.from({ length: COUNT }, (_, index) => `line ${index}\n`).join("");

function shell(script: string, ...args: readonly string[]) {
	return spawnSync("bash", ["-c", script, "bash", ...command(...args)], { encoding: "utf8" });
}

test("all output arrives, in a file and through a pipe", () => {
	const folder = mkdtempSync(join(tmpdir(), "l3dsr-output-"));
	try {
		const path = join(folder, "printed");
		const fd = openSync(path, "w");
		spawnSync(process.execPath, command(String(COUNT)).slice(1), { stdio: ["ignore", fd, "ignore"] });
		closeSync(fd);
		assert.equal(readFileSync(path, "utf8"), LINES);
	} finally {
		rmSync(folder, { recursive: true });
	}
	assert.equal(shell('"$@" 2>/dev/null | cat', String(COUNT)).stdout, LINES);
});

test("a non-blocking pipe also receives everything", () => {
	const folder = mkdtempSync(join(tmpdir(), "l3dsr-output-"));
	try {
		// dd shares the pipe. Nothing is read until the printer reports that it has worked, which it could
		// not do if it were waiting.
		const script = `fifo=$1; shift; mkfifo "$fifo"
			{ dd if=/dev/null oflag=nonblock status=none; "$@" 2>"$fifo"; } | { read -r _ <"$fifo"; cat; }`;
		const args = ["-c", script, "bash", join(folder, "said"), ...command(String(COUNT))];
		assert.equal(spawnSync("bash", args, { encoding: "utf8" }).stdout, LINES);
	} finally {
		rmSync(folder, { recursive: true });
	}
});

test("ends silently when the reader has closed the pipe", () => {
	const { stdout, stderr } = shell('set -o pipefail; "$@" | head -n 1; echo $?', String(COUNT));
	assert.equal(stderr, "worked\nends with 0, libc true\n");
	assert.equal(stdout, "line 0\n0\n");
});

test("a command that is done ends at once, whatever is left to wait for, after the handlers of its exit", () => {
	const { stdout, stderr, status } = shell('"$@"', "1");
	assert.deepEqual([stdout, stderr, status], ["line 0\n", "worked\nends with 0, libc true\n", 0]);
});

test("a file that cannot be written completely is a failure", () => {
	const folder = mkdtempSync(join(tmpdir(), "l3dsr-output-"));
	try {
		const script = 'file=$1; shift; ulimit -f 16; exec "$@" >"$file"';
		const args = ["-c", script, "bash", join(folder, "printed"), ...command(String(COUNT))];
		assert.equal(spawnSync("bash", args).status, 1);
	} finally {
		rmSync(folder, { recursive: true });
	}
});

test("a long-running command is not blocked by a reader that does not read", async () => {
	const [program = "", ...args] = command(String(COUNT), "impatient");
	const child = spawn("bash", ["-c", '"$@" | { read -r _ <&3; }', "bash", program, ...args], {
		stdio: ["ignore", "inherit", "pipe", "pipe"],
	});
	assert.ok(child.stderr !== null);
	// It prints "worked" after all its output, although nothing has been read.
	const [said] = await once(child.stderr, "data");
	assert.equal(String(said), "worked\n");
	child.stdio[3]?.destroy();
	await once(child, "exit");
});
