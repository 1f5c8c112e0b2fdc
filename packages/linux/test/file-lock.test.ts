import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FROM_SOURCE } from "../../../test/support/node.ts";
import { LinuxError } from "../src/error.ts";
import { FileLock } from "../src/file-lock.ts";

const folder = mkdtempSync(join(tmpdir(), "l3dsr-lock-"));
after(() => rmSync(folder, { recursive: true }));

/** Starts another process that holds the lock until its stdin ends. */
async function holder(path: string): Promise<ChildProcess> {
	const script = `
		import { FileLock } from "./packages/linux/src/file-lock.ts";
		const lock = await FileLock.acquire(${JSON.stringify(path)});
		process.stdout.write("held");
		process.stdin.resume().on("end", () => lock[Symbol.dispose]());`;
	const child = spawn(process.execPath, [...FROM_SOURCE, "--input-type=module", "-e", script]);
	await once(child.stdout, "data");
	return child;
}

test("is exclusive while held and free after disposal", async () => {
	const path = join(folder, "a.lock");
	{
		using lock = await FileLock.acquire(path);
		assert.equal(lock.path, path);
		await assert.rejects(FileLock.acquire(path), { code: "LOCK_HELD" });
	}
	using again = await FileLock.acquire(path);
	again[Symbol.dispose]();
	again[Symbol.dispose]();
});

test("names the process that holds it", async () => {
	const path = join(folder, "b.lock");
	const child = await holder(path);
	try {
		await assert.rejects(FileLock.acquire(path, { waitMs: 30 }), (error: unknown) => {
			assert.ok(error instanceof LinuxError);
			const program = readFileSync(`/proc/${child.pid}/comm`, "utf8").trim();
			assert.equal(error.message, `lock ${path}: held by process ${child.pid} (${program})`);
			return true;
		});
	} finally {
		child.stdin?.end();
		await once(child, "exit");
	}
});

test("waits until the holder releases it or dies", async () => {
	const path = join(folder, "c.lock");
	const child = await holder(path);
	const waiting = FileLock.acquire(path, { waitMs: 10_000 });
	child.kill("SIGKILL");
	using lock = await waiting;
	assert.equal(lock.path, path);
});

test("names the file that could not be opened", async () => {
	await assert.rejects(FileLock.acquire(join(folder, "none", "d.lock")), {
		code: "SYSCALL",
		message: `open lock file ${join(folder, "none", "d.lock")}: ENOENT (no such file or directory)`,
		hint: `${join(folder, "none")} must exist and be writable`,
	});
});

test("names the file whose holder could not be found out, with the same message", () => {
	const file = join(folder, "file");
	writeFileSync(file, "");
	assert.throws(() => FileLock.isHeld(join(file, "d.lock")), {
		code: "SYSCALL",
		message: `open lock file ${join(file, "d.lock")}: ENOTDIR (not a directory)`,
		hint: `${file} must exist and be writable`,
	});
});

test("tells whether it is held, and does not take others who ask for a holder", async () => {
	const path = join(folder, "held.lock");
	assert.equal(FileLock.isHeld(path), false);
	assert.ok(!existsSync(path), "asking creates no file");
	{
		using _lock = await FileLock.acquire(path);
		assert.equal(FileLock.isHeld(path), true);
	}
	const asker = spawn("flock", ["--shared", path, "sh", "-c", "echo asks; cat"]);
	await once(asker.stdout, "data");
	assert.equal(FileLock.isHeld(path), false);
	asker.stdin.end();
	await once(asker, "exit");
});
