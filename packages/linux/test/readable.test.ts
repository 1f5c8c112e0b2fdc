import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { closeSync, readSync, writeSync } from "node:fs";
import { test } from "node:test";
import { promisify } from "node:util";
import { check, Layout, libcFunction } from "../src/index.ts";
import { untilReadable, watchReadable } from "../src/readable.ts";

const pipe2 = libcFunction<[ends: Uint8Array, flags: number]>("int pipe2(void *ends, int flags)");
const ENDS = new Layout({ read: "s32", write: "s32" });
const O_CLOEXEC_NONBLOCK = 0o2004000;

function openPipe(): Disposable & { readonly read: number; readonly write: number } {
	const ends = new Uint8Array(ENDS.size);
	check(pipe2(ends, O_CLOEXEC_NONBLOCK), "open a pipe");
	const { read, write } = ENDS.decode(ends);
	return {
		read,
		write,
		[Symbol.dispose]() {
			closeSync(read);
			closeSync(write);
		},
	};
}

test("a descriptor is readable after a write, and this thread continues meanwhile", async () => {
	using pipe = openPipe();
	let turns = 0;
	const turning = setInterval(() => turns++, 1);
	setTimeout(() => writeSync(pipe.write, "x"), 30);
	assert.equal(await untilReadable([pipe.read], { timeoutMs: 5000 }), true);
	clearInterval(turning);
	assert.ok(turns > 0);
});

test("the first readable descriptor ends the wait, at once if it is readable already", async () => {
	using one = openPipe();
	using other = openPipe();
	writeSync(other.write, "x");
	assert.equal(await untilReadable([one.read, other.read], { timeoutMs: 5000 }), true);
	assert.equal(await untilReadable([one.read, other.read], { timeoutMs: 5000 }), true);
});

test("the wait returns false after the time limit, and throws the signal's reason when aborted", async () => {
	using pipe = openPipe();
	assert.equal(await untilReadable([pipe.read], { timeoutMs: 1 }), false);
	const controller = new AbortController();
	const waiting = untilReadable([pipe.read], { signal: controller.signal });
	controller.abort(new Error("enough"));
	await assert.rejects(waiting, { message: "enough" });
	await assert.rejects(untilReadable([pipe.read], { signal: controller.signal }), { message: "enough" });
});

test("waits without end if the time limit is Infinity", async () => {
	using pipe = openPipe();
	const waiting = untilReadable([pipe.read], { timeoutMs: Number.POSITIVE_INFINITY });
	using other = openPipe();
	assert.equal(await untilReadable([other.read], { timeoutMs: 20 }), false);
	writeSync(pipe.write, "x");
	assert.equal(await waiting, true);
});

test("a watcher is called again until it has read everything, and not after it was disposed of", async () => {
	using pipe = openPipe();
	writeSync(pipe.write, "abc");
	let read = "";
	await new Promise<void>((resolve) => {
		const watcher = watchReadable(pipe.read, () => {
			const byte = new Uint8Array(1);
			readSync(pipe.read, byte);
			read += String.fromCharCode(...byte);
			if (read.length < 3) return;
			watcher[Symbol.dispose]();
			resolve();
		});
	});
	assert.equal(read, "abc");
});

test("a second wait for the same descriptor is refused", async () => {
	using pipe = openPipe();
	using _ = watchReadable(pipe.read, () => {});
	await assert.rejects(untilReadable([pipe.read]), /something already waits for descriptor/);
});

test("a process can exit during a wait, and ends by itself after the last one", async () => {
	const url = new URL("../src/readable.ts", import.meta.url).href;
	const run = (code: string) =>
		promisify(execFile)(process.execPath, [...process.execArgv, "--input-type=module", "--eval", code], {
			timeout: 20_000,
		});
	const open = `import { watchReadable, untilReadable } from ${JSON.stringify(url)}; import net from "node:net";
		import { check, libcFunction } from ${JSON.stringify(new URL("../src/libc.ts", import.meta.url).href)};
		const fd = check(libcFunction("int eventfd(unsigned int initval, int flags)")(0, 0), "open");`;
	const exited = await run(
		`${open} watchReadable(fd, () => {}); setTimeout(() => { console.log("exit"); process.exit(0); }, 20);`,
	);
	assert.equal(exited.stdout, "exit\n");
	const ended = await run(
		`${open} const one = watchReadable(fd, () => {}); setTimeout(() => { one[Symbol.dispose](); console.log("end"); }, 20);`,
	);
	assert.equal(ended.stdout, "end\n");
});
