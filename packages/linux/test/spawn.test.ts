import assert from "node:assert/strict";
import { closeSync, openSync, readdirSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SyscallError } from "../src/libc.ts";
import { type EndedProgram, runProgram, type SpawnOptions } from "../src/spawn.ts";

async function shell(script: string, options: Partial<SpawnOptions> = {}): Promise<EndedProgram> {
	return await runProgram("/bin/sh", ["sh", "-c", script], { env: ["PATH=/usr/bin:/bin"], ...options });
}

function descriptors(): number {
	return readdirSync("/proc/self/fd").length;
}

test("gives back what a program printed and how it ended", async () => {
	const { exitCode, signal, stdout, stderr } = await shell('printf out; printf "%s" "$X" >&2; exit 3', {
		env: ["X=ü"],
	});
	assert.deepEqual([exitCode, signal, stdout.toString(), stderr.toString()], [3, undefined, "out", "ü"]);
	const killed = await shell("kill -TERM $$");
	assert.deepEqual([killed.exitCode, killed.signal], [null, "SIGTERM"]);
});

test("takes any amount of output, and waits for what the program has started", async () => {
	const { stdout } = await shell("(head -c 3000000 /dev/zero; echo end) & exit 0");
	assert.equal(stdout.length, 3_000_004);
	assert.equal(stdout.subarray(-4).toString(), "end\n");
});

test("stdin is the descriptor that was given, or nothing", async () => {
	const path = join(tmpdir(), `l3dsr-spawn-${process.pid}`);
	writeFileSync(path, "input");
	const stdin = openSync(path, "r");
	unlinkSync(path);
	try {
		assert.equal((await shell("cat", { stdin })).stdout.toString(), "input");
	} finally {
		closeSync(stdin);
	}
	assert.equal((await shell("cat")).stdout.toString(), "");
});

test("a program has none of our files, and no signal that is ignored or blocked", async () => {
	const own = openSync("/etc/passwd", "r");
	try {
		const [first, second] = await Promise.all([shell("ls -l /proc/self/fd"), shell("ls -l /proc/self/fd")]);
		for (const { stdout } of [first, second]) {
			const targets = [...stdout.toString().matchAll(/ -> (.*)$/gm)].map(([, target = ""]) => target);
			assert.equal(targets.filter((target) => target.startsWith("/memfd:")).length, 2, String(stdout));
			assert.ok(!targets.includes("/etc/passwd"), String(stdout));
		}
	} finally {
		closeSync(own);
	}
	const { stdout } = await shell("grep -E 'Sig(Blk|Ign)' /proc/self/status");
	const masks = [...stdout.toString().matchAll(/\t([0-9a-f]{16})/g)].map(([, mask = ""]) =>
		BigInt(`0x${mask}`),
	);
	// Above 31 are the C library's own.
	assert.deepEqual(
		masks.map((mask) => mask & 0x7fff_ffffn),
		[0n, 0n],
	);
});

test("a session of its own only where it is wanted", async () => {
	const session = "cut -d ' ' -f 6 /proc/self/stat; echo $$";
	const [own = "", pid = ""] = (await shell(session, { ownSession: true })).stdout.toString().split("\n");
	assert.equal(own, pid);
	const [shared = "", other = ""] = (await shell(session)).stdout.toString().split("\n");
	assert.notEqual(shared, other);
});

test("what cannot be started is said, and nothing stays open", async () => {
	const before = descriptors();
	const refusal = (errno: string) => (error: unknown) =>
		error instanceof SyscallError && error.errnoName === errno;
	await assert.rejects(runProgram("/nonexistent", ["nonexistent"], { env: [] }), refusal("ENOENT"));
	await assert.rejects(runProgram("/etc/passwd", ["passwd"], { env: [] }), refusal("EACCES"));
	await Promise.all(Array.from({ length: 12 }, () => shell("exit 0")));
	assert.equal(descriptors(), before);
});
