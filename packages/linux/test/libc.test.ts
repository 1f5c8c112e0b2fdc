import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { FROM_SOURCE } from "../../../test/support/node.ts";
import { ERRNO, errnoName, errnoText } from "../src/errno.ts";
import { addressOf, check, libcFunction, SyscallError, syscall, viewOf } from "../src/libc.ts";

test("knows errno by name, number and text", () => {
	assert.equal(ERRNO.ENOENT, 2);
	assert.equal(errnoName(22), "EINVAL");
	assert.equal(errnoName(ERRNO.EAGAIN), "EAGAIN");
	assert.equal(errnoName(524), "ENOTSUPP");
	assert.equal(errnoText(2), "no such file or directory");
	assert.equal(errnoName(4711), "errno 4711");
});

test("calls the C library by prototype and returns its result", () => {
	const getpid = libcFunction<[]>("int getpid()");
	assert.equal(getpid(), process.pid);
});

test("turns -1 into -errno, and ignores a stale errno after success", () => {
	const close = libcFunction<[fd: number]>("int close(int fd)");
	const getppid = libcFunction<[]>("int getppid()");
	assert.equal(close(-1), -ERRNO.EBADF);
	assert.equal(getppid(), process.ppid);
});

test("passes memory to system calls and lets the kernel write to it", () => {
	const name = new Uint8Array(6 * 65);
	const uname = process.arch === "x64" ? 63 : 160;
	assert.equal(syscall(uname, name), 0);
	assert.equal(Buffer.from(name.subarray(0, 5)).toString(), "Linux");
});

test("views memory at an address without copying", () => {
	const memory = new Uint8Array([1, 2, 3, 4]);
	const view = viewOf(addressOf(memory) + 1n, 2);
	assert.deepEqual([...view], [2, 3]);
	view[0] = 9;
	assert.equal(memory[1], 9);
});

test("names errno in the error of a failed call", () => {
	assert.throws(
		() => check(-ERRNO.ENODEV, "attach program x to eth9"),
		(error: unknown) => {
			assert.ok(error instanceof SyscallError);
			assert.equal(error.code, "SYSCALL");
			assert.equal(error.errnoName, "ENODEV");
			assert.equal(error.message, "attach program x to eth9: ENODEV (no such device)");
			return true;
		},
	);
	assert.throws(() => check(-ERRNO.EPERM, "load"), { code: "PERMISSION" });
	assert.equal(check(7, "load"), 7);
});

test("loads no FFI before the first call", () => {
	const script = `
		import { isLibcLoaded, libcFunction } from "./packages/linux/src/libc.ts";
		const getpid = libcFunction("int getpid()");
		const before = isLibcLoaded();
		getpid();
		process.stdout.write(JSON.stringify([before, isLibcLoaded()]));`;
	const out = execFileSync(process.execPath, [...FROM_SOURCE, "--input-type=module", "-e", script], {
		encoding: "utf8",
	});
	assert.equal(out, "[false,true]");
});
